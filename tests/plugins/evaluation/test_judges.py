"""Verdicts of judges."""

from __future__ import annotations

import math
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
    assert preferred([1.0, 2.0, 0.0], [1.0, 1.0, 1.0]) == [0.5, 1.0, 0.0]


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
