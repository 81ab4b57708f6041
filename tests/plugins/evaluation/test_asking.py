"""How evaluators ask the subject of an evaluation again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from preflab.interfaces import Evaluation, Subject
from preflab.records import Prompt
from preflab_builtin.evaluation.config import NO_BASELINE, SuiteConfig
from preflab_builtin.evaluation.suite import EvaluationSuite
from support import FakeContext

PROMPTS = [Prompt(f"p{i}", text, split="test") for i, text in enumerate(("one plus", "two", "red"))]


def test_the_subject_answers_with_the_prefix_of_the_evaluation(tmp_path: Path) -> None:
    """To the same prompts, rows and seed it answers what the evaluation has."""
    seen: list[Subject] = []

    class Listening:
        def evaluate(self, subject: Subject) -> Evaluation:
            seen.append(subject)
            return Evaluation({})

    context = FakeContext(tmp_path, PROMPTS)
    suite = EvaluationSuite(SuiteConfig(prefix="good ", baseline=NO_BASELINE), context)
    suite.evaluators, suite.total_steps = {"it": Listening()}, 2
    for index in range(2):
        suite.step(index)
    (subject,) = seen
    assert subject.prefix == "good "
    seed = (context.seed, "evaluation", "responses")
    again = subject.responder.respond(suite.prompts, seed)
    assert again.tokens() == subject.rollout.tokens()
    asked = [replace(prompt, text=f"good {prompt.text}") for prompt in suite.prompts]
    assert again.texts == context.responder("result").respond(asked, seed).texts
