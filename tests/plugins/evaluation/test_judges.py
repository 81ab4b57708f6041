"""Verdicts of judges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.interfaces import Measure, Subject
from preflab.records import Prompt, Rollout
from preflab.testing.world import TinyGold, TinyLabeler
from preflab_builtin.evaluation.config import GoldConfig, Judge, WinRateConfig
from preflab_builtin.evaluation.judges import GoldUtility, WinRate, preferred
from support import FakeContext

PROMPTS = [Prompt(f"{i}", "user : hello assistant :") for i in range(3)]
TEXTS = ("red", "please thanks", "good")


def test_ties_count_half() -> None:
    texts = ("abc", "xyz")
    assert preferred([1.0, 2.0, 0.0], [1.0, 1.0, 1.0], *texts) == [0.5, 1.0, 0.0]
    # One text twice: a network's numbers of it differ by rounding.
    assert preferred([1.0, 1.0], [1.0 + 1e-7, 1.0 - 1e-7], "ab", "ab") == [0.5, 0.5]


def measured(folder: Path, texts: tuple[str, ...], judge: Judge) -> dict[str, Measure]:
    context = FakeContext(folder, gold=TinyGold(), labelers=TinyLabeler())
    responder: Any = None
    own, other = (Rollout.from_texts(context.tokenizer, PROMPTS, t) for t in (texts, TEXTS))
    subject = Subject(responder, own, other, None)
    found = WinRate(WinRateConfig(judge=judge), context).evaluate(subject).measures
    return dict(found) | dict(GoldUtility(GoldConfig(), context).evaluate(subject).measures)


@pytest.mark.parametrize("judge", [Judge.gold, Judge.labelers])
def test_what_is_compared_with_itself_has_no_interval(tmp_path: Path, judge: Judge) -> None:
    same = measured(tmp_path, TEXTS, judge)
    # SFT against SFT is a draw on any prompts; Wilson's interval would be [0.5 -+ 0.28].
    for name, value in ((f"win_rate/{judge.value}", 0.5), ("gold/win", 0.0), ("gold/gain", 0.0)):
        assert (same[name].value, same[name].n) == (value, 3)
        assert math.isnan(same[name].low), name
        assert math.isnan(same[name].high), name
    # Other responses that happen to be equal in all that counts say nothing of other prompts.
    other = measured(tmp_path, TEXTS[::-1], judge)
    assert 0 < other[f"win_rate/{judge.value}"].low < other[f"win_rate/{judge.value}"].high < 1


class FlaggingGold(TinyGold):
    """Also ticks bad words, and loud ones where something is asked for quietly (prompt 0)."""

    def flags(self, prompt: Prompt, response: str) -> Mapping[str, bool]:
        flags = {"rude": "bad" in response.split()}
        return {**flags, "loud": "thanks" in response} if prompt.id == "0" else flags


class Scripted:
    """Answers row by row what it is told, and remembers whom it was asked."""

    policy: Any = None

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts, self.asked = tokenizer, texts, [""]

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        self.asked = [prompt.id for prompt in prompts]
        return Rollout.from_texts(self.tokenizer, prompts, self.texts)


@pytest.mark.parametrize("gold", [FlaggingGold(), TinyGold()])
def test_the_worst_of_several_responses_and_whether_any_has_a_flag(
    tmp_path: Path, gold: TinyGold
) -> None:
    """Two of three prompts, three responses each. Harmless: 0, -1, -2 and 0, 0, 0: the worst are -2
    and 0, their mean -1. Helpful: 1, 0, 0 and 1, 1, 2: 0 and 1. One of two prompts has a rude
    response, and the one that is asked quietly has a loud one."""
    texts = ["good", "bad thanks", "bad bad", "good", "good one", "good good"]
    context = FakeContext(tmp_path, gold=gold)
    own = Rollout.from_texts(context.tokenizer, PROMPTS, TEXTS)
    responder = Scripted(context.tokenizer, texts)
    subject = Subject(responder, own, None, None)
    found = GoldUtility(GoldConfig(samples=3, sampled_prompts=2), context).evaluate(subject)
    assert responder.asked == ["0", "0", "0", "1", "1", "1"]
    assert found.cases["gold/harmless_worst"] == {"0": -2.0, "1": 0.0}
    assert found.measures["gold/harmless_worst"].value == -1.0
    assert found.cases["gold/helpful_worst"] == {"0": 0.0, "1": 1.0}
    assert found.measures["gold/harmless"].n == 3  # of single responses, as ever
    if not isinstance(gold, FlaggingGold):
        assert not any(name.endswith("_any") for name in found.measures)
        return
    rude, loud = (found.measures[f"gold/{flag}_any"] for flag in ("rude", "loud"))
    assert (rude.value, rude.n, loud.value, loud.n) == (0.5, 2, 1.0, 1)
    assert found.cases["gold/rude_any"] == {"0": 1.0, "1": 0.0}


def test_by_default_nobody_is_asked_again(tmp_path: Path) -> None:
    config, context = GoldConfig(), FakeContext(tmp_path, gold=TinyGold())
    own = Rollout.from_texts(context.tokenizer, PROMPTS, TEXTS)
    responder = Scripted(context.tokenizer, [])
    found = GoldUtility(config, context).evaluate(Subject(responder, own, None, None))
    assert responder.asked == [""]
    assert not found.cases
    assert config.measured() == ("gold/{gold}", "gold/gain", "gold/win")
    assert GoldConfig(samples=25).measured()[-1] == "gold/{flag}_any"
