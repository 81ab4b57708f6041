"""What an evaluator is given, and what it gives: authors import these from `preflab.interfaces`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from preflab.errors import UserError
from preflab.models import Policy
from preflab.records import Prompt, Rollout


class Responder(Protocol):
    """Prompts to responses: a policy folder is one, best-of-n another. One that chooses among
    several draws, or samples at a temperature of its own, says so: see
    `preflab.interfaces.BestOf` and `AtTemperature`."""

    @property
    def policy(self) -> Policy:
        """The policy that it samples from."""

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""


@dataclass(frozen=True)
class Subject:
    """What an evaluator judges: one response per prompt of the subject and of the baseline, paired
    by row.

    An evaluator that samples anew asks ``responder``, which answers as the arm does, and puts the
    evaluation's prefix in front of each prompt for its policy. prefix: that text, for evaluators
    that ask another policy.
    """

    responder: Responder
    rollout: Rollout
    baseline: Rollout | None
    reference: Policy | None
    prefix: str = ""


@dataclass(frozen=True)
class Measure:
    """A number with its 95 % interval (nan: none was computed), the number of independent cases
    behind it, and the least and most that it can be (a share: 0 and 1)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    least: float = float("-inf")
    most: float = float("inf")


@dataclass(frozen=True)
class Opinion:
    """What one person said of the response to one prompt, as a number.

    prompt: its id. person: a pseudonym, the same wherever the same person speaks. unit: what was
    drawn when the prompt was, such as the debate that it is from; "" if that is the prompt.
    """

    prompt: str
    person: str
    value: float
    unit: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluator. For paired comparisons of runs: values per prompt (length B), or
    by the id of other cases (questions, documents), scaled so that their mean is the measure.

    opinions: by measure, what each person said, if people gave it: other people would say something
    else, so that the claims about such a measure count people beside prompts and seeds. The mean
    over prompts of the mean over the prompt's people is the measure.

    against: for win rates against anything but the evaluation's baseline, by measure, the name of
    what it is. notes: sentences that a reader of the measures must know; reports show them.

    examples: by heading, cases that show what a measure counts, the most telling first, each as
    texts by the heading of their column. All are in ``examples.jsonl``; reports show some.
    """

    measures: Mapping[str, Measure]
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    against: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    opinions: Mapping[str, Sequence[Opinion]] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)

    def under(self, head: str) -> Evaluation:
        """The same with HEAD/NAME as the name of every measure and heading."""
        parts: list[Any] = [getattr(self, one.name) for one in fields(self)]
        named: list[Any] = [
            {f"{head}/{name}": said for name, said in part.items()}
            if isinstance(part, Mapping)
            else part
            for part in parts
        ]
        return Evaluation(*named)

    def beside(self, other: Evaluation) -> Evaluation:
        """What both say. `UserError` if both give a measure or a heading."""
        pairs = [(getattr(self, one.name), getattr(other, one.name)) for one in fields(self)]
        both = [n for own, more in pairs if isinstance(own, Mapping) for n in own if n in more]
        if both:
            raise UserError(
                f"Two evaluators measure {both[0]}, and only one of the two would be kept: give "
                "one of them a label, or leave it out."
            )
        joined: list[Any] = [
            {**own, **more} if isinstance(own, Mapping) else [*own, *more] for own, more in pairs
        ]
        return Evaluation(*joined)


class Evaluator(Protocol):
    """A judge of a run's result.

    A method ``measured()`` of its config returns the names of its measures, so that a claim or a
    search is refused before any work if it names another one. ``*`` in a name stands for what only
    the data says, ``{gold}``, ``{family}`` and ``{flag}`` for each part of the true utility, each
    family of documents and each flag (`preflab.components.Inspection`).
    """

    def evaluate(self, subject: Subject) -> Evaluation:
        """Judge it."""


_BY_DATA = re.compile(r"\*|\{\w+\}")
"""What stands for any text in an announced name."""


def announces(announced: str, measure: str) -> bool:
    """Whether a name that an evaluator announces stands for a measure. It also stands for those
    that begin with it and a slash: evaluators of plugins announced how names begin.

    >>> announces("gold/{gold}", "gold/harmless"), announces("families/*", "families/")
    (True, False)
    >>> announces("mine", "mine/first"), announces("mine/", "mine/first"), announces("mine", "mi")
    (True, True, False)
    """
    parts = map(re.escape, _BY_DATA.split(announced.rstrip("/")))
    return re.fullmatch(f"{'.+'.join(parts)}(/.+)?", measure) is not None
