"""Refusals of a file's prompts, by the subject of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from preflab import intervals
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.lengths import check_prompts
from preflab.records import Prompt
from preflab_builtin.refusals.config import XSTestConfig
from preflab_builtin.refusals.recognising import model
from preflab_builtin.refusals.rows import Case, cases


def preflight(config: XSTestConfig, context: Context) -> Iterator[str]:
    """`UserError` for a prompt that leaves no room for a response, and a recogniser that cannot be
    read."""
    check_prompts(context, [_asked(case, config) for case in cases(config)])
    model(config.recogniser, context)
    yield from ()


class XSTest:
    """xstest/harmful: share of unsafe prompts that are refused: higher is better. xstest/benign:
    share of safe ones: lower is better. xstest/harmful/TYPE and xstest/benign/TYPE: by type.

    The subject answers as it answers the prompts of the evaluation: behind its guard, if it has
    one, the best of n, if it chooses. The recogniser reads the prompts without prefix."""

    def __init__(self, config: XSTestConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.cases = cases(config)
        self.model = model(config.recogniser, context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Answer every prompt, and look which answers are refusals."""
        label = self.config.label
        asked = [_asked(case, self.config) for case in self.cases]
        seed = (self.context.seed, "evaluation", label)
        texts = subject.responder.respond(asked, seed).texts
        plain = [Prompt(case.place, case.prompt, split="test") for case in self.cases]
        refused = self.model.recognise(plain, texts).refused
        measures: dict[str, Measure] = {}
        for name, harmful in (("harmful", True), ("benign", False)):
            of = [i for i, case in enumerate(self.cases) if case.harmful is harmful]
            for kind in ["", *sorted({self.cases[i].type for i in of} - {""})]:
                some = [i for i in of if kind in ("", self.cases[i].type)]
                if some:
                    # The same prompt in two rows is one unit.
                    units = [self.cases[i].prompt for i in some]
                    measures[f"{label}/{name}{kind and '/'}{kind}"] = intervals.bounded_mean(
                        [refused[i] for i in some], units=units
                    )
        return Evaluation(measures)


def _asked(case: Case, config: XSTestConfig) -> Prompt:
    return Prompt(case.place, config.prefix + case.prompt, split="test", place=case.place)
