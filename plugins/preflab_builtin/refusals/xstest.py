"""Refusals of a file's prompts, by the subject of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Evaluator, Measure, Opinion, Subject
from preflab.lengths import check_prompts, every_prompt
from preflab.prompts import unread_prefix, with_prefix
from preflab.records import Prompt
from preflab.responders import reading
from preflab_builtin.refusals.config import XSTestConfig
from preflab_builtin.refusals.evaluator import share
from preflab_builtin.refusals.recognising import Recognised, by_people, model
from preflab_builtin.refusals.rows import Case, cases


def preflight(config: XSTestConfig, context: Context) -> Iterator[str]:
    """`UserError` for a prompt that leaves no room for a response, and a recogniser that cannot be
    read; with people, for a prompt that the evaluation does not answer. Of the prefix see
    `unread_prefix`."""
    found = cases(config)
    if config.people is not None:
        of_evaluation(config, found, every_prompt(context))
        return
    key = f"evaluators: {config.label}.prefix"
    yield from unread_prefix(context.tokenizer, config.prefix, key)
    check_prompts(context, [with_prefix(_plain(case), config.prefix) for case in found])
    model(config, context)


class XSTest:
    """xstest/harmful: share of unsafe prompts that are refused: higher is better. xstest/benign:
    share of safe ones: lower is better. xstest/harmful/TYPE and xstest/benign/TYPE: by type.

    The subject answers as it answers the prompts of the evaluation: behind its guard, if it has
    one, the best of n, if it chooses. The recogniser reads the prompts without prefix. People judge
    the responses of the evaluation, whose prompts are then those of the file."""

    def __init__(self, config: XSTestConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.cases = cases(config)
        self.people: Evaluator | None = None
        if config.people is not None:
            self.people = context.component("evaluator", config.people)
        else:
            self.model = model(config, context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Answer every prompt, and look which answers are refusals."""
        # The same prompt in two rows is one unit.
        if self.people is None:
            found, units = self._by_model(subject), [case.prompt for case in self.cases]
        else:
            found, units = self._by_people(self.people, subject)
        measures: dict[str, Measure] = {}
        opinions: dict[str, Sequence[Opinion]] = {}
        for name, harmful in (("harmful", True), ("benign", False)):
            judged = [i for i, refused in enumerate(found.refused) if math.isfinite(refused)]
            of = [i for i in judged if self.cases[i].harmful is harmful]
            for kind in ["", *sorted({self.cases[i].type for i in of} - {""})]:
                some = [i for i in of if kind in ("", self.cases[i].type)]
                if some:
                    key = f"{self.config.label}/{name}{kind and '/'}{kind}"
                    measures[key], said = share(found, some, units)
                    if said:
                        opinions[key] = said
        return Evaluation(measures, notes=found.notes, opinions=opinions)

    def _by_model(self, subject: Subject) -> Recognised:
        """Of responses that are sampled for it."""
        asked = [_plain(case) for case in self.cases]
        seed = (self.context.seed, "evaluation", self.config.label)
        texts = reading(subject.responder, self.config.prefix).respond(asked, seed).texts
        return self.model.recognise(asked, texts)

    def _by_people(self, people: Evaluator, subject: Subject) -> tuple[Recognised, list[str]]:
        """Of the responses of the evaluation; and the id of each row's prompt there."""
        prompts = subject.rollout.prompts
        at = of_evaluation(self.config, self.cases, prompts)
        found = by_people(self.config, people, subject)
        refused = [found.refused[i] for i in at]
        return Recognised(refused, found.opinions, found.notes), [prompts[i].id for i in at]


def of_evaluation(
    config: XSTestConfig, found: Sequence[Case], prompts: Iterable[Prompt]
) -> list[int]:
    """The place of each row's prompt among those of the evaluation. `UserError` for one that is not
    among them: people judged responses of the evaluation."""
    places = {prompt.text: i for i, prompt in enumerate(prompts)}
    missing = [case for case in found if case.prompt not in places]
    if missing:
        raise UserError(
            f"evaluators: {config.label}: people judge the responses of the evaluation, and "
            f"{len(missing)} of {len(found)} prompts of {config.path} are not answered there, for "
            f"example that of {missing[0].place}. Let the evaluation answer them: prompts=files "
            f"prompts.path={config.path} evaluation.split=test evaluation.prompts={len(found)}."
        )
    return [places[case.prompt] for case in found]


def _plain(case: Case) -> Prompt:
    return Prompt(case.place, case.prompt, split="test", place=case.place)
