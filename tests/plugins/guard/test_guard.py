"""Guards: what is looked at, what is allowed, and what is answered behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from preflab.composing.search_path import registry
from preflab.errors import NumericError, UserError
from preflab.interfaces import (
    AnswersGroups,
    AtTemperature,
    Policy,
    Responder,
    RolloutEngine,
    Sampling,
    Subject,
)
from preflab.planning.reading import choose
from preflab.records import Prompt, Rollout
from preflab.responders import adjusted, reading
from preflab.testing import FakeContext
from preflab.testing.world import WORDS
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.guard import config as c
from preflab_builtin.guard.calibration import calibrated, threshold_of
from preflab_builtin.guard.chain import Chain
from preflab_builtin.guard.classifier import classifier
from preflab_builtin.guard.config import Action, Part
from preflab_builtin.guard.evaluator import GuardEvaluator
from preflab_builtin.guard.first_token import first_token
from preflab_builtin.guard.responder import Guarded, behind, check_refusal, screened
from preflab_builtin.guard.verdicts import Scoring, Verdict, strictest
from preflab_builtin.guard.words import words
from tiny_classifier import write_classifier

NO_CONTEXT = cast(Any, None)
PROMPTS = [Prompt("0", "hello"), Prompt("1", "you fool"), Prompt("2", "bye")]


def allowed(guard: Any, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[bool]:
    return [verdict.allowed for verdict in guard.check(prompts, texts)]


def test_words_are_whole_words_however_they_are_written() -> None:
    guard = words(c.WordsConfig(words=["fool", "Shut Up"], checks=Part.response), NO_CONTEXT)
    against = ["A FOOL!", "f\u200bool", "ｆｏｏｌ", "f\u043e\u043el", "fóol", "shut\n  up."]
    fine = ["foolish", "tomfool", "shut it up", ""]
    prompts = [Prompt("", "")] * 10
    assert allowed(guard, prompts, against + fine) == [False] * 6 + [True] * 4
    assert allowed(guard, [Prompt("", "fool")], None) == [True]  # it looks at responses alone


def test_words_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("fool\n\nidiot\n")
    guard = words(c.WordsConfig(path=str(file)), NO_CONTEXT)
    assert allowed(guard, PROMPTS, None) == [True, False, True]
    file.write_text("\n")
    with pytest.raises(UserError, match="has no words"):
        words(c.WordsConfig(path=str(file)), NO_CONTEXT)
    with pytest.raises(UserError, match="cannot be read"):
        words(c.WordsConfig(path=str(tmp_path / "none")), NO_CONTEXT)


def test_a_threshold_has_its_rank() -> None:
    # 99 scores, a share of 5 %: rank ceil(0.95 x 100) = 95 of 99.
    assert threshold_of([i / 100 for i in range(1, 100)], 0.05) == 0.95
    with pytest.raises(ValueError, match="needs 19 texts at least"):  # 1 / 0.05 - 1
        threshold_of([0.5] * 18, 0.05)


def test_the_share_of_harmless_texts_that_is_blocked_is_as_wanted() -> None:
    """1,000 files of 200 harmless scores, each with a new text: 5 % +- 2 points are blocked, and at
    least 5 % - 1 / 201 if no two scores are equal."""
    draws = np.random.default_rng(1).random((1000, 201))
    blocked = [row[200] > threshold_of(list(row[:200]), 0.05) for row in draws]
    assert abs(np.mean(blocked) - 0.05) < 0.02


def test_a_calibration_file_decides(tmp_path: Path) -> None:
    file = tmp_path / "harmless.jsonl"
    rows = [{"prompt": "p" * i, "response": "r" * (20 - i)} for i in range(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def scores(prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[float]:
        return [float(len(t)) for t in (texts or [prompt.text for prompt in prompts])]

    # Of the response alone: lengths 20 down to 1; rank ceil(0.8 x 21) = 17.
    config = c.ClassifierConfig(
        path="x", threshold=None, calibration=str(file), false_blocks=0.2, checks=Part.response
    )
    assert calibrated(config, scores, "guard") == 17.0
    # Of both, the longer one counts: 10, 11, 11, ... 19, 19, 20; rank 17 is 19.
    longer = sorted(max(i, 20 - i) for i in range(20))
    config.checks = Part.both
    assert calibrated(config, scores, "guard") == longer[16]
    config.false_blocks = 0.01
    few = r"guard.calibration: .* 20 harmless rows, but a share of 0.01"
    with pytest.raises(UserError, match=few):
        calibrated(config, scores, "guard")
    file.write_text('{"prompt": "p"}\n')
    with pytest.raises(UserError, match=r"harmless.jsonl:1: response: must be a text"):
        calibrated(config, scores, "guard")


def test_a_classifier_looks_at_what_it_is_told_to(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "classifier")
    settings = c.ClassifierConfig(path=str(folder), label="toxic", threshold=0.0)
    guard = classifier(settings, FakeContext(tmp_path))
    (verdict,) = guard.check([Prompt("", "you are bad")], None)
    assert not verdict.allowed  # every probability is above 0
    assert 0 < verdict.score < 1
    assert verdict.category == "toxic"
    together = classifier(replace(settings, whole_text=True), FakeContext(tmp_path))
    (whole,) = together.check([Prompt("", "you are ")], ["bad"])
    assert whole.score == pytest.approx(verdict.score)


def test_a_language_model_says_it_with_its_first_token(tmp_path: Path) -> None:
    """p(b) / (p(a) + p(b)) after the text, by a forward pass over each text alone."""
    context = FakeContext(tmp_path)
    policy = context.policy("base")
    policy.save(tmp_path / "model")
    tokenizer = policy.tokenizer
    safe, unsafe, other = WORDS[0], WORDS[1], WORDS[5]
    config = c.FirstTokenConfig(
        path=str(tmp_path / "model"), safe=safe, unsafe=unsafe, template="{prompt} . {response}"
    )
    guard = first_token(config, context)
    prompts = [Prompt("0", safe), Prompt("1", f"{other} {unsafe}")]
    texts = [f"{other} {safe} {other}", unsafe]
    found = guard.check(prompts, texts)
    for prompt, text, verdict in zip(prompts, texts, found, strict=True):
        ids = torch.tensor([tokenizer.encode(f"{prompt.text} . {text}")])
        hidden = policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
        logits = policy.logits(hidden[0, -1]).detach()
        a, b = (float(logits[tokenizer.encode(word)[0]].exp()) for word in (safe, unsafe))
        assert verdict.score == pytest.approx(b / (a + b), abs=1e-5)
        assert verdict.allowed == (verdict.score <= 0.5)
    with pytest.raises(UserError, match="begin with the same token"):
        first_token(replace(config, safe=unsafe), context)


def test_no_score_allows_nothing() -> None:
    guard = Scoring(lambda p, t: [float("nan")], 0.5, "x", Part.both, Action.refuse)
    with pytest.raises(NumericError, match="not finite"):
        guard.check([Prompt("", "")], None)


def test_the_strictest_action_of_a_chain_counts() -> None:
    flag, refuse = Verdict(False, "a", 1.0, Action.flag), Verdict(False, "b", 0.6, Action.refuse)
    assert strictest([flag, refuse]) is refuse
    assert strictest([Verdict(score=0.1), Verdict(score=0.3)]).score == 0.3
    first = words(c.WordsConfig(words=["fool"], action=Action.flag), NO_CONTEXT)
    second = words(c.WordsConfig(words=["bye"], category="end"), NO_CONTEXT)
    found = Chain((first, second)).check(PROMPTS, None)
    assert [(v.allowed, v.shown, v.category) for v in found] == [
        *((True, True, "words"), (False, True, "words"), (False, False, "end"))
    ]


class Drawing:
    """Answers what it is told to, the next of a list at each further call."""

    def __init__(self, *texts: list[str]) -> None:
        self.texts, self.asked = list(texts), list[tuple[int | str, ...]]()

    @property
    def policy(self) -> Policy:
        class Model:
            tokenizer = byte_tokenizer()

        return cast(Policy, Model())

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        self.asked.append(tuple(seed))
        return Rollout.from_texts(byte_tokenizer(), prompts, self.texts.pop(0))


def test_what_is_allowed_is_shown_to_the_bit_and_the_rest_is_refused() -> None:
    guard = words(c.WordsConfig(words=["fool", "idiot"]), NO_CONTEXT)
    texts = ["an idiot", "fine", "fine too"]
    inner = Drawing(texts)
    shown = Guarded(inner, guard, "No.", 3).respond(PROMPTS, (1,))
    assert shown.texts == ("No.", "No.", "fine too")
    plain = Rollout.from_texts(byte_tokenizer(), PROMPTS, texts)
    assert shown.tokens()[2] == plain.tokens()[2]
    assert bool(shown.terminated.all())
    assert inner.asked == [(1,)]  # nothing was sampled again


def test_another_response_is_sampled_where_that_is_asked_for() -> None:
    guard = words(
        c.WordsConfig(words=["idiot"], checks=Part.response, action=Action.resample), NO_CONTEXT
    )
    inner = Drawing(["idiot", "fine", "bye"], ["idiot"], ["better"])
    assert Guarded(inner, guard, "No.", 2).respond(PROMPTS, (1,)).texts == ("better", "fine", "bye")
    assert inner.asked == [(1,), (1, "guard", 0, 0), (1, "guard", 0, 1)]
    inner = Drawing(["idiot", "fine", "bye"], ["idiot"])
    assert Guarded(inner, guard, "No.", 1).respond(PROMPTS, (1,)).texts == ("No.", "fine", "bye")


def test_behind_a_guard_the_temperature_is_that_of_what_answers() -> None:
    """Greedily answered, it is not the run's usual setting: one asked for at 1 is answered at 1."""

    class Warm(Drawing):
        temperature = 0.0

        def at_temperature(self, temperature: float) -> Responder:
            other = Warm()
            other.temperature = temperature
            return other

    guard = words(c.WordsConfig(words=["idiot"]), NO_CONTEXT)
    greedy = Guarded(Warm(), guard, "No.", 0)
    assert isinstance(greedy, AtTemperature)
    assert greedy.temperature == 0.0
    engine = SimpleNamespace(sampling=Sampling(temperature=1.0, max_tokens=8))
    found = adjusted(greedy, cast(RolloutEngine, engine), 1.0, 8)
    assert isinstance(found, AtTemperature)
    assert found.temperature == 1.0
    assert not isinstance(Guarded(Drawing(), guard, "No.", 0), AtTemperature)


def test_a_guard_that_raises_ends_the_evaluation() -> None:
    class Broken:
        def check(self, prompts: Any, responses: Any) -> list[Verdict]:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Guarded(Drawing(["a", "b", "c"]), Broken(), "No.", 0).respond(PROMPTS, (1,))


def test_what_is_sampled_again_is_asked_with_the_evaluations_prefix() -> None:
    """A responder that knows no prefix is asked with it; the guard reads the plain prompt."""
    guard = words(c.WordsConfig(words=["idiot", "kindly"], action=Action.resample), NO_CONTEXT)

    class Listening(Drawing):
        read: list[str]

        def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
            self.read = [prompt.text for prompt in prompts]
            return super().respond(prompts, seed)

    inner = Listening(["better"])
    rollout = Rollout.from_texts(byte_tokenizer(), PROMPTS, ["fine", "idiot", "fine"])
    subject = Subject(reading(inner, "kindly "), rollout, None, None, "kindly ")

    class Context(FakeContext):
        def component(self, kind: str, config: Any) -> Any:
            return guard

    config = c.GuardEvaluatorConfig(guard=c.WordsConfig(words=["x"]))
    found = GuardEvaluator(config, Context(Path())).evaluate(subject)
    assert inner.read == ["kindly you fool"]
    assert found.measures["guard/blocked"].value == pytest.approx(1 / 3)


class ForTwo(Drawing):
    """`AnswersGroups`: a response says for whom it is."""

    groups: Sequence[str] = ("blue", "red")

    def __init__(self) -> None:
        super().__init__()

    def groups_for(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Sequence[str]:
        return [("red", "blue")[len(str(seed)) % 2] for _ in prompts]  # other seeds, other groups

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        return self.respond_for(self.groups_for(prompts, seed), prompts, seed)

    def respond_for(
        self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        again = "again" if "guard" in seed else "idiot"
        return Rollout.from_texts(byte_tokenizer(), prompts, [f"{again} {g}" for g in groups])

    def as_typed(self) -> Any:
        return self


def test_behind_a_guard_a_prompt_is_answered_for_its_group_again() -> None:
    guard = words(c.WordsConfig(words=["idiot"], action=Action.resample), NO_CONTEXT)
    behind_it = behind(ForTwo(), guard, "No.", 3)
    assert isinstance(behind_it, AnswersGroups)
    for group in ("red", "blue"):
        found = behind_it.respond_for([group] * 3, PROMPTS, (1,))
        assert found.texts == (f"again {group}",) * 3
    for seed in ((1,), (10,)):  # seeds of both groups
        (group,) = {*ForTwo().groups_for(PROMPTS, seed)}
        assert behind_it.respond(PROMPTS, seed).texts == (f"again {group}",) * 3
    assert not isinstance(behind(Drawing(), guard, "No.", 3), AnswersGroups)


def test_flagged_responses_are_shown_and_counted() -> None:
    guard = words(c.WordsConfig(words=["fool"], action=Action.flag), NO_CONTEXT)
    rollout = Rollout.from_texts(byte_tokenizer(), PROMPTS, ["a", "b", "fool"])
    shown, on_prompts, on_responses = screened(Guarded(Drawing(), guard, "No.", 0), rollout, (1,))
    assert shown.texts == rollout.texts
    assert [v.allowed for v in on_prompts] == [True, False, True]
    assert [v.allowed for v in on_responses] == [True, True, False]


@pytest.mark.parametrize(
    "guard, message",
    [
        (None, "algorithm.guard is not given"),
        ({"name": "words"}, "words is empty, and so is path"),
        ("words", "guard must be one guard component with a 'name', not 'words'"),
        ({"name": "words", "words": [True, 1.5]}, 'holds true, 1.5, no text: .* quotes: "yes"'),
        (
            {"name": "classifier", "path": "x", "harmless": {"label": "fine"}},
            "harmless says how a calibration file is read, and there is none",
        ),
        ({"name": "classifier"}, "path is empty"),
        ({"name": "classifier", "path": "x", "threshold": None}, "one of them must be given"),
        ({"name": "first_token", "path": "x", "template": "{response}"}, "must hold {prompt}"),
        (
            {"name": "first_token", "path": "x", "template": "{prompt}"},
            "must hold {response}, because checks is both",
        ),
        ({"name": "chain"}, "guards is empty"),
        ({"name": "wordz"}, "Did you mean 'words'"),
    ],
)
def test_a_guard_that_cannot_work_is_refused_before_any_work(guard: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(registry(), "algorithm", {"name": "guarded", "guard": guard}, "algorithm")


def test_a_refusal_that_the_model_cannot_read_is_refused() -> None:
    class Words:
        def encode_response(self, prompt: Prompt, text: str) -> list[str]:
            return [word for word in text.split() if word == "no"]

        def decode_response(self, prompt: Prompt, ids: list[str]) -> str:
            return " ".join(ids)

    check_refusal(cast(Any, Words()), "no", "algorithm")
    with pytest.raises(UserError, match=r"algorithm.refusal: .* It reads: 'no'"):
        check_refusal(cast(Any, Words()), "no thanks", "algorithm")
