"""What holds for evaluators: numbers with intervals, one value per prompt, and the same results at
every call."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from preflab.evaluating import announces
from preflab.interfaces import Evaluation, Evaluator, Subject
from preflab.planning.asking import words
from preflab.records import Prompt, Rollout
from preflab.testing.components import ComponentContract
from preflab.testing.runs import global_seed, refusal
from preflab.testing.world import tiny_records

if TYPE_CHECKING:
    from preflab.testing.case import Case
    from preflab.testing.context import FakeContext


def subject(context: FakeContext, prompts: int = 6, baseline: bool = True) -> Subject:
    """Sampled answers of a policy and of one that it is compared with."""
    from preflab.testing.gradient_terms import moved_policy

    context.policies["result"] = moved_policy(context)
    chosen = [r for r in tiny_records() if isinstance(r, Prompt) and r.split == "test"][:prompts]
    answering = context.responder("result")
    if not chosen:
        nothing = Rollout.from_tokens(context.tokenizer, [], [], [])
        return Subject(answering, nothing, nothing if baseline else None, None)
    other = context.responder("initial").respond(chosen, (1, "contract")) if baseline else None
    return Subject(
        answering, answering.respond(chosen, (1, "contract")), other, context.policy("initial")
    )


class EvaluatorContract(ComponentContract):
    """``class TestMine(EvaluatorContract): name = "mine"``; a preset that holds it goes into
    ``overrides``."""

    kind = "evaluator"

    def test_it_measures_numbers_with_intervals(self, preflab_case: Case) -> None:
        context = preflab_case.context()
        judged = subject(context)
        evaluation = cast("Evaluator", preflab_case.build(context)).evaluate(judged)
        assert evaluation.measures, "it measures nothing"
        for name, measure in evaluation.measures.items():
            for number in (measure.value, measure.low, measure.high):
                assert isinstance(number, float), f"{name} holds {number!r}, which is not a float"
            if math.isfinite(measure.low) and math.isfinite(measure.high):
                assert measure.low <= measure.value <= measure.high, (
                    f"{name} is outside its interval: {measure}"
                )
            assert measure.n >= 0, f"{name} is measured on {measure.n} cases"
        announced = tuple(getattr(preflab_case.choice.config, "measured", tuple)())
        for name in evaluation.measures if announced else ():
            assert any(announces(one, name) for one in announced), (
                f"{name} is measured, but measured() of the config announces {announced}"
            )
        for name, column in evaluation.values.items():
            assert len(column) == len(judged.rollout), (
                f"values of {name}: {len(column)} for {len(judged.rollout)} prompts"
            )
        for name, cases in evaluation.cases.items():
            assert name in evaluation.measures, f"cases of {name}, which is not a measure"
            mean, value = sum(cases.values()) / max(1, len(cases)), evaluation.measures[name].value
            near = math.isclose(mean, value, rel_tol=1e-6, abs_tol=1e-9)
            assert near, f"cases of {name} have the mean {mean}, not {value}"
        for name, said in evaluation.opinions.items():
            assert name in evaluation.measures, f"opinions of {name}, which is not a measure"
            by_prompt: dict[str, list[float]] = {}
            for one in said:
                by_prompt.setdefault(one.prompt, []).append(one.value)
            mean = sum(sum(some) / len(some) for some in by_prompt.values()) / len(by_prompt)
            near = math.isclose(mean, evaluation.measures[name].value, rel_tol=1e-6, abs_tol=1e-9)
            assert near, f"opinions of {name} have the mean {mean} over prompts"
        assert any(math.isfinite(m.value) for m in evaluation.measures.values()), (
            "no measure is a number"
        )

    def test_a_second_call_gives_the_same(self, preflab_case: Case) -> None:
        context = preflab_case.context()
        judged = subject(context)
        evaluations: list[Evaluation] = []
        for seed in (11, 12):
            with global_seed(seed):
                evaluations.append(cast("Evaluator", preflab_case.build(context)).evaluate(judged))
        assert repr(evaluations[0]) == repr(evaluations[1]), (
            "the same responses are judged differently"
        )

    def test_without_a_baseline_it_judges_or_says_what_is_missing(self, preflab_case: Case) -> None:
        self._judges_or_explains(preflab_case, prompts=6, baseline=False)

    def test_without_responses_it_judges_or_says_what_is_missing(self, preflab_case: Case) -> None:
        self._judges_or_explains(preflab_case, prompts=0, baseline=True)

    def test_it_asks_only_for_what_it_declares(self, preflab_case: Case) -> None:
        context = preflab_case.context()
        judged = subject(context)
        context.asked.clear()
        cast("Evaluator", preflab_case.build(context)).evaluate(judged)
        undeclared = context.asked - words(preflab_case.choice)
        assert not undeclared, (
            f"it uses {', '.join(sorted(undeclared))} without declaring so in 'needs'"
        )

    @staticmethod
    def _judges_or_explains(case: Case, prompts: int, baseline: bool) -> None:
        context = case.context()
        evaluations: list[Evaluation] = []
        evaluator = cast("Evaluator", case.build(context))
        message = refusal(
            lambda: evaluations.append(evaluator.evaluate(subject(context, prompts, baseline)))
        )
        if message:
            assert len(message) > 20, f"the message is too short to help: {message}"
        else:
            assert all(len(column) == prompts for column in evaluations[0].values.values()), (
                "values for other rows than there are"
            )
