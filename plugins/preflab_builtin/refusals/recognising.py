"""Who says which responses are refusals: the world, a model, or people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflab.errors import UserError, nearest
from preflab.interfaces import Context, Evaluator, Opinion, Subject
from preflab.records import Prompt
from preflab_builtin.guard.asking import guard_of
from preflab_builtin.guard.verdicts import Guard
from preflab_builtin.refusals.config import RefusalConfig, XSTestConfig
from preflab_builtin.refusals.gold import RefusalGold


@dataclass(frozen=True)
class Recognised:
    """refused: for each response [B] whether it refuses: 0, 1, the share of people who say so, or
    nan where nobody was asked. opinions: of people, if they were."""

    refused: Sequence[float]
    opinions: Sequence[Opinion] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Model:
    """A guard that finds refusals: what it does not allow is one."""

    guard: Guard

    def recognise(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Recognised:
        """Its verdict of each response [B]."""
        verdicts = self.guard.check(prompts, texts)
        return Recognised([float(not verdict.allowed) for verdict in verdicts])


def model(config: RefusalConfig | XSTestConfig, context: Context) -> Model:
    """The guard of an evaluator."""
    return Model(guard_of(config.recogniser, config.seconds, config, context))


@dataclass(frozen=True)
class TheWorld:
    """The truth of the embedded world."""

    gold: RefusalGold

    def recognise(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Recognised:
        """What each response [B] is."""
        pairs = zip(prompts, texts, strict=True)
        return Recognised([float(self.gold.refused(*pair)) for pair in pairs])


def the_world(context: Context) -> TheWorld:
    """`UserError` if the run is not in the world that has refusals."""
    if not isinstance(context.gold, RefusalGold):
        raise UserError(
            "evaluators: refusal knows refusals in the embedded world with data=refusals alone. "
            "Elsewhere a model recognises them "
            "(+guard@evaluation.evaluators.KEY.recogniser=classifier), or people do "
            "(+evaluator@evaluation.evaluators.KEY.people=people)."
        )
    return TheWorld(context.gold)


def by_people(
    config: RefusalConfig | XSTestConfig, people: Evaluator, subject: Subject
) -> Recognised:
    """What people said in a round in which they could flag refusals; `UserError` if they could
    not."""
    flag = config.flag
    found = people.evaluate(subject)
    name, asked = f"flags/{flag}", _flags(found.values)
    if name not in found.values:
        raise UserError(
            f"evaluators: {config.name}.flag is {flag!r}, but people were not asked for it. "
            f"{nearest(flag, asked)} Make the round with preflab label RUN RUN --task compare "
            "--flags FILE, and the flag's name on a line of FILE."
        )
    refused = list(found.values[name])
    if not any(map(math.isfinite, refused)):
        raise UserError(f"evaluators: {config.name}: people judged none of these responses.")
    return Recognised(refused, found.opinions.get(name, ()), found.notes)


def _flags(values: Mapping[str, object]) -> list[str]:
    return [name.removeprefix("flags/") for name in values if name.startswith("flags/")]
