"""A guard reads all that it is to check, or refuses: nothing passes because nobody has read it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab.composing.search_path import registry
from preflab.errors import UserError
from preflab.planning.reading import choose
from preflab.records import Prompt
from preflab.testing import FakeContext
from preflab.testing.world import WORDS
from preflab_builtin.guard import config as c
from preflab_builtin.guard import first_token as module
from preflab_builtin.guard.classifier import classifier
from preflab_builtin.guard.config import Part
from preflab_builtin.guard.first_token import answers, asked, first_token
from tiny_classifier import write_classifier, write_finder

FILLER = "you are good " * 667
"""2,001 words; a classifier reads 512."""
SAFE, UNSAFE = WORDS[0], WORDS[1]


def test_a_classifier_guards_the_end_of_long_texts(tmp_path: Path) -> None:
    """The insult is the last word of a prompt, of a response, and of a response to a prompt that
    fills the model's positions (``whole_text``)."""
    folder = write_finder(tmp_path / "model")
    config = c.ClassifierConfig(path=str(folder), label="toxic")
    alone = classifier(config, FakeContext(tmp_path))
    together = classifier(replace(config, whole_text=True), FakeContext(tmp_path))
    short, long = Prompt("", "you are good "), Prompt("", FILLER)
    for guard, prompt, response, allowed in (
        (alone, Prompt("", f"{FILLER}bad"), None, False),
        (alone, long, None, True),
        (alone, short, f"{FILLER}bad", False),
        (alone, short, FILLER, True),
        (together, long, "bad", False),
        (together, long, "good", True),
    ):
        (verdict,) = guard.check([prompt], None if response is None else [response])
        assert verdict.allowed is allowed


def written(tmp_path: Path) -> tuple[FakeContext, c.FirstTokenConfig]:
    """A tiny language model in a folder, and a guard by it."""
    context = FakeContext(tmp_path)
    context.policy("base").save(tmp_path / "model")
    path, template = str(tmp_path / "model"), "{prompt} . {response}"
    return context, c.FirstTokenConfig(path=path, safe=SAFE, unsafe=UNSAFE, template=template)


def test_a_template_is_filled_in_once(tmp_path: Path) -> None:
    """A prompt in which somebody typed {response} shows the guard no response in its place."""
    _, config = written(tmp_path)
    read: list[str] = []

    class Reading:
        def encode_prompt(self, prompt: Prompt) -> list[int]:
            read.append(prompt.text)
            return [1]

    asked(Reading(), config, Prompt("", "a {response} {prompt} b"), "c {prompt}")  # type: ignore[arg-type]
    assert read == ["a {response} {prompt} b . c {prompt}"]


def test_a_model_that_answers_with_other_words_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model gives two of its tokens about 2 / 25 together: more than by chance, and less
    than the half that is asked for here. Seen when it is built, and at every check."""
    context, config = written(tmp_path)
    guard = first_token(config, context)
    monkeypatch.setattr(module, "LEAST", 0.5)
    for work in (
        lambda: guard.check([Prompt("", SAFE)], None),
        lambda: guard.check([Prompt("", SAFE)], [UNSAFE]),
        lambda: first_token(config, context),
    ):
        with pytest.raises(UserError, match=r"together, .* would rather begin with .*guard.before"):
            work()


def test_a_guard_of_prompts_is_asked_about_a_prompt_when_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not about a response, which it will never read."""
    context, config = written(tmp_path)
    read: list[tuple[str, str | None]] = []

    def noted(tokenizer: Any, config: Any, prompt: Prompt, response: str | None) -> list[int]:
        read.append((prompt.text, response))
        return asked(tokenizer, config, prompt, response)

    monkeypatch.setattr(module, "asked", noted)
    for checks, response in ((Part.prompt, None), (Part.both, SAFE)):
        first_token(replace(config, checks=checks), context)
        assert read[-1] == (SAFE, response)


def test_a_text_beyond_the_positions_of_a_language_model_is_not_passed(tmp_path: Path) -> None:
    context, config = written(tmp_path)
    guard = first_token(config, context)
    limit = context.policy("base").max_positions
    assert limit is not None
    with pytest.raises(UserError, match=f"has {limit} positions: it cannot be checked"):
        guard.check([Prompt("", " ".join([SAFE] * limit))], None)


def test_what_the_tokenizer_shows_is_refused_before_any_work(tmp_path: Path) -> None:
    context, config = written(tmp_path)
    preflight = registry().component("guard", "first_token").preflight
    assert list(preflight(config, context)) == []
    with pytest.raises(UserError, match="has no token for 'nowhere'"):
        preflight(replace(config, unsafe="nowhere"), context)
    with pytest.raises(UserError, match="begin with the same token"):
        preflight(replace(config, unsafe=SAFE), context)


@pytest.mark.parametrize(
    "checks, shows, refused",
    [
        (Part.both, "{prompt}", "leaves the response out"),
        (Part.response, "{prompt}", "leaves the response out"),
        (Part.prompt, "{response}", "leaves the prompt out"),
        (Part.prompt, "{prompt}", ""),
        (Part.both, "{prompt}{response}", ""),
    ],
)
def test_a_chat_template_shows_what_is_checked(checks: Part, shows: str, refused: str) -> None:
    class Chat:
        def encode(self, text: str) -> list[int]:
            return [*text.encode()]

        def decode(self, ids: Sequence[int]) -> str:
            return bytes(ids).decode()

        def encode_prompt(self, prompt: Prompt) -> list[int]:
            turns = [*(turn.content for turn in prompt.messages), ""]
            return self.encode(shows.format(prompt=turns[0], response=turns[1]))

    config = c.FirstTokenConfig(path="x", safe="yes", unsafe="no", checks=checks)
    chat: Any = Chat()
    if not refused:
        assert answers(chat, config) == [ord("y"), ord("n")]
        return
    with pytest.raises(UserError, match=refused):
        answers(chat, config)


@pytest.mark.parametrize("checks", ["response", "both"])
def test_a_calibrated_guard_blocks_the_wanted_share_of_new_texts(
    tmp_path: Path, checks: str
) -> None:
    """5 % are wanted, on 1,500 rows for the threshold and 1,500 new ones. Each share has a standard
    error of sqrt(0.05 * 0.95 / 1500) = 0.56 points, both together 0.8: two points are 2.5 of it.
    Words are drawn from the classifier's own, so that its scores are of real texts."""
    draw = random.Random(1)

    def text() -> str:
        return " ".join(draw.choices(["you", "are", "bad", "good"], k=draw.randint(3, 9)))

    file = tmp_path / "harmless.jsonl"
    rows = [json.dumps({"prompt": text(), "response": text()}) for _ in range(1500)]
    file.write_text("\n".join(rows))
    values = {
        **{"name": "classifier", "path": str(write_classifier(tmp_path / "model"))},
        **{"label": "toxic", "threshold": None, "calibration": str(file)},
        **{"false_blocks": 0.05, "checks": checks},
    }
    choice = choose(registry(), "algorithm", {"name": "guarded", "guard": values}, "algorithm")
    own: Any = choice.config
    (nested,) = choice.nested
    nested.component.inspect(own.guard)
    guard = FakeContext(tmp_path).component("guard", own.guard)
    prompts, responses = [Prompt("", text()) for _ in range(1500)], [text() for _ in range(1500)]
    found = [guard.check(prompts, None), guard.check(prompts, responses)]
    blocked = [not (a.shown and b.shown) for a, b in zip(*found, strict=True)]
    assert abs(sum(blocked) / 1500 - 0.05) < 0.02
