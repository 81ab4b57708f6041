"""The built-in evaluators keep the contract of third-party evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plugins.causal_lm.test_exports import folder_of
from preflab.testing import ComponentContract, EvaluatorContract
from tiny_classifier import write_classifier


def _held(name: str) -> str:
    """The override that adds a component to the evaluators, so that it can be given a file."""
    return f"+evaluator@evaluation.evaluators.x={name}"


class TestReward(EvaluatorContract):
    name = "reward"


class TestGold(EvaluatorContract):
    name = "gold"


class TestWinRate(EvaluatorContract):
    name = "win_rate"


class TestWinRateByReward(EvaluatorContract):
    name = "win_rate"
    overrides = ("evaluation=samples",)


class TestLength(EvaluatorContract):
    name = "length"


class TestKL(EvaluatorContract):
    name = "kl"


class TestFamilies(EvaluatorContract):
    name = "families"


class TestDocumentLoss(EvaluatorContract):
    name = "document_loss"


class TestRewardAccuracy(EvaluatorContract):
    name = "reward_accuracy"


class TestBestOfNCurve(EvaluatorContract):
    name = "best_of_n_curve"


class TestJudge(EvaluatorContract):
    name = "judge"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path, key = folder_of("gpt2", folder / "model"), "evaluation.evaluators.x"
        return [_held("judge"), f"{key}.path={path}", f"{key}.max_tokens=20"]


class TestRatings(ComponentContract):
    # It asks the people of the embedded world, who do not exist in the tiny world.
    kind = "evaluator"
    name = "ratings"


class TestLabelerGroups(ComponentContract):
    # The same.
    kind = "evaluator"
    name = "labeler_groups"


class TestGroups(ComponentContract):
    # The same.
    kind = "evaluator"
    name = "groups"


class TestHiddenContext(ComponentContract):
    # The reward model of the fixture has no variance.
    kind = "evaluator"
    name = "hidden_context"


class TestGroupHeads(ComponentContract):
    # The reward model of the fixture has no members.
    kind = "evaluator"
    name = "group_heads"


class TestGroupAgreement(ComponentContract):
    # No two people of the fixture's records rank the same responses.
    kind = "evaluator"
    name = "group_agreement"


class TestGeneration(EvaluatorContract):
    name = "generation"
    required = ("path", "metrics")

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path, of = folder / "rows.jsonl", "evaluation.evaluators.x"
        rows = [
            '{"prompt": "one plus two", "answer": "three"}',
            '{"prompt": "red is", "answer": "blue"}',
        ]
        path.write_text("\n".join(rows) + "\n")
        return [
            _held("generation"),
            f"{of}.path={path}",
            f"{of}.references=[answer]",
            f"{of}.metrics=[token_f1]",
        ]


class TestMultipleChoice(EvaluatorContract):
    name = "multiple_choice"
    required = ("path", "choices")

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path, of = folder / "rows.jsonl", "evaluation.evaluators.x"
        path.write_text('{"question": "one plus two equals", "a": ["three", "four"], "k": 0}\n')
        return [_held("multiple_choice"), f"{of}.path={path}", f"{of}.choices=a", f"{of}.correct=k"]


class TestSentencePairs(EvaluatorContract):
    name = "sentence_pairs"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path = folder / "rows.jsonl"
        path.write_text('{"sent_more": "red is bad", "sent_less": "blue is bad"}\n')
        return [_held("sentence_pairs"), f"evaluation.evaluators.x.path={path}"]


class TestHarness(ComponentContract):
    # Its numbers are tested where lm-eval, an extra, is installed.
    kind = "evaluator"
    name = "lm_eval"
    overrides = (_held("lm_eval"), "evaluation.evaluators.x.tasks=[hellaswag]")
    required = ("tasks",)


class TestGuard(EvaluatorContract):
    name = "guard"
    required = ("guard",)
    overrides = (
        _held("guard"),
        "+guard@evaluation.evaluators.x.guard=words",
        "evaluation.evaluators.x.guard.words=[a]",
        "evaluation.evaluators.x.refusal=.",  # of the few words of the tiny world
    )


class TestRefusal(ComponentContract):
    # No prompt of the tiny world should be refused.
    kind = "evaluator"
    name = "refusal"


class TestXSTest(EvaluatorContract):
    name = "xstest"
    required = ("path", "recogniser")

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path, key = folder / "prompts.csv", "evaluation.evaluators.x"
        path.write_text("prompt,type,label\none plus two,sums,safe\nred is,colors,unsafe\n")
        classifier = write_classifier(folder / "classifier")
        return [
            _held("xstest"),
            f"{key}.path={path}",
            f"+guard@{key}.recogniser=classifier",
            f"{key}.recogniser.path={classifier}",
            f"{key}.recogniser.label=toxic",
        ]
