"""Rankings that pairs cannot be learned from are refused before the first stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.records import Prompt, Ranking
from preflab_builtin.preference.config import PreferenceConfig
from preflab_builtin.preference.preflight import preflight
from support import FakeContext


def ranking(number: int, better: str, worse: str, prompt: str = "add one two") -> Ranking:
    asked = Prompt(f"p{number}", prompt, split="train", place=f"r.jsonl:{number}")
    return Ranking(asked, (better, worse), ((0, 1),))


def context(folder: Path, *records: Ranking) -> FakeContext:
    """Of a stage whose options are those of the algorithm."""
    return FakeContext(folder, records, stage="algorithm", policy_config={"max_positions": 16})


def test_responses_that_are_cut_to_the_same_tokens_are_refused(tmp_path: Path) -> None:
    given = context(tmp_path, ranking(1, "red", "blue"), ranking(2, "red red blue", "red red red"))
    assert list(preflight(PreferenceConfig(max_tokens=3), given)) == []
    with pytest.raises(UserError, match=r"r\.jsonl:2 prefers .*Raise algorithm\.max_tokens \(2\)"):
        list(preflight(PreferenceConfig(max_tokens=2), given))


def test_responses_that_are_the_same_tokens_uncut_are_refused(tmp_path: Path) -> None:
    """To the words of the tiny world white space is no difference."""
    given = context(tmp_path, ranking(1, "red  blue", "red blue"))
    with pytest.raises(UserError, match=r"r\.jsonl:1 prefers .*Use a tokenizer that"):
        list(preflight(PreferenceConfig(), given))


def test_cutting_is_the_cure_for_long_responses_and_not_for_long_prompts(tmp_path: Path) -> None:
    # 3 tokens of prompt and 14 of a response with its end, and 20 of a prompt, of 16 positions.
    long_response = ranking(1, " ".join(["red"] * 13), "blue")
    with pytest.raises(UserError, match=r"cut responses with algorithm\.max_tokens=N"):
        list(preflight(PreferenceConfig(), context(tmp_path, long_response)))
    long_prompt = ranking(2, "red", "blue", prompt=" ".join(["add"] * 20))
    with pytest.raises(UserError, match=r"max_row_tokens=16") as refused:
        list(
            preflight(PreferenceConfig(), context(tmp_path, long_prompt, ranking(3, "red", "blue")))
        )
    assert "algorithm.max_tokens" not in str(refused.value)
