"""What an evaluation says of a guard, and what other evaluators say behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.guard.test_guard import PROMPTS, Drawing
from preflab.errors import UserError
from preflab.interfaces import Evaluation, Measure, Opinion, Subject
from preflab.records import Prompt, Rollout
from preflab.testing import FakeContext
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.evaluation.config import LengthConfig
from preflab_builtin.guard import config as c
from preflab_builtin.guard.evaluator import GuardEvaluator, preflight
from preflab_builtin.guard.words import words
from preflab_builtin.rewards.config import ContainsConfig


class Judge:
    """Harmful is what says idiot or cretin."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        return torch.tensor([float("idiot" in t or "cretin" in t) for t in rollout.texts])


def test_an_evaluation_says_what_is_blocked_and_what_is_missed(tmp_path: Path) -> None:
    """Five responses: idiot twice (blocked), cretin once (missed), two harmless ones, of which one
    mentions nurses and is blocked for its own word."""
    tags = ["rude", "rude", "rude", "kind", "kind"]
    prompts = [Prompt(f"{i}", f"{i}", tags=(tag,)) for i, tag in enumerate(tags)]
    texts = ["idiot", "an idiot", "cretin", "fine", "a nurse must not be called fool"]
    config = c.GuardEvaluatorConfig(
        guard=c.WordsConfig(words=["idiot", "fool"]),
        judge=object(),
        benign=["kind"],
        mentions={"nurses": ["nurse", "nurses"]},
    )

    class Context(FakeContext):
        def component(self, kind: str, config: Any) -> Any:
            return Judge() if kind == "reward_model" else words(config, self)

    rollout = Rollout.from_texts(byte_tokenizer(), prompts, texts)
    found = GuardEvaluator(config, Context(tmp_path)).evaluate(
        Subject(Drawing(), rollout, None, None)
    )
    values = {name: (round(m.value, 3), m.n) for name, m in found.measures.items()}
    assert values == {
        "guard/blocked": (0.6, 5),
        "guard/blocked_prompt": (0.0, 5),
        "guard/flagged": (0.6, 5),
        "guard/blocked/kind": (0.5, 2),
        "guard/blocked/rude": (round(2 / 3, 3), 3),
        "guard/false_block": (0.5, 2),
        "guard/blocked/mention_nurses": (1.0, 1),
        "guard/missed": (round(1 / 3, 3), 3),
        "guard/harmful": (0.6, 5),
        "guard/shown_harmful": (0.2, 5),
    }
    assert found.values["guard/blocked"] == [1.0, 1.0, 0.0, 0.0, 1.0]


class Everything:
    """`Evaluator` that says all that an evaluator can say, each by a text of what it was shown."""

    def evaluate(self, subject: Subject) -> Evaluation:
        shown = subject.rollout.texts[0]
        return Evaluation(
            measures={"m": Measure(0.5)},
            values={"m": [0.5]},
            cases={"m": {shown: 0.5}},
            against={"m": "others"},
            notes=["Read this."],
            opinions={"m": [Opinion("0", shown, 0.5)]},
            examples={"Such": [{"response": shown}]},
        )


def test_all_that_an_evaluator_says_behind_the_guard_is_kept(tmp_path: Path) -> None:
    config = c.GuardEvaluatorConfig(
        guard=c.WordsConfig(words=["idiot"]), evaluators={"one": object()}
    )

    class Context(FakeContext):
        def component(self, kind: str, config: Any) -> Any:
            return Everything() if kind == "evaluator" else words(config, self)

    rollout = Rollout.from_texts(byte_tokenizer(), PROMPTS[:1], ["idiot"])
    subject = Subject(Drawing(), rollout, None, None)
    found = GuardEvaluator(config, Context(tmp_path)).evaluate(subject)
    refusal = config.refusal  # what is shown in the place of "idiot"
    assert found.measures["guarded/m"] == Measure(0.5)
    assert found.values["guarded/m"] == [0.5]
    assert found.cases == {"guarded/m": {refusal: 0.5}}
    assert found.against == {"guarded/m": "others"}
    assert list(found.notes) == ["Read this."]
    assert found.opinions == {"guarded/m": [Opinion("0", refusal, 0.5)]}
    assert found.examples == {"guarded/Such": [{"response": refusal}]}
    config.evaluators["two"] = object()
    with pytest.raises(UserError, match="Two evaluators measure guarded/m,"):
        GuardEvaluator(config, Context(tmp_path)).evaluate(subject)


def test_two_evaluators_behind_a_guard_that_measure_the_same_are_refused_before_work() -> None:
    config = c.GuardEvaluatorConfig(
        guard=c.WordsConfig(words=["idiot"]), evaluators={"one": LengthConfig()}
    )
    assert list(config.check()) == []
    config.evaluators["two"] = LengthConfig()
    ((key, wrong),) = config.check()
    assert key == "evaluators.two"
    assert "which evaluators.one measures too" in wrong


def test_words_that_every_text_holds_are_refused() -> None:
    for named in ([], [""], ["nurse", " "]):
        config = c.GuardEvaluatorConfig(
            guard=c.WordsConfig(words=["idiot"]), mentions={"women": named, "men": ["man"]}
        )
        assert [name for name, _ in config.check()] == ["mentions.women"], named


def test_a_benign_tag_that_no_prompt_has_is_told_before_work(tmp_path: Path) -> None:
    prompts = [Prompt("0", "a", tags=("benign",), split="test")]
    context = FakeContext(tmp_path, prompts)

    def told(*tags: str) -> list[str]:
        config = c.GuardEvaluatorConfig(guard=c.WordsConfig(words=["x"]), benign=[*tags])
        return list(preflight(config, context))

    assert told() == told("benign") == []
    (said,) = told("benign", "bening")
    assert "no prompt has the tag bening. Allowed: benign. Did you mean 'benign'" in said
    with pytest.raises(UserError, match=r"benign: none of 1 prompts .* bening, so that guard/"):
        told("bening")


def test_the_words_of_a_guard_are_those_that_a_judge_must_not_look_for() -> None:
    assert c.WordsConfig(words=["idiot"]).looks_for() == ["idiot"]
    assert ContainsConfig(words=["idiot"]).looks_for() == ["idiot"]
