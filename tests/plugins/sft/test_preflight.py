"""Demonstrations that are refused before the first stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import UserError
from preflab.records import Demonstration, Prompt
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.preflight import preflight
from support import FakeContext


def shown(number: int, prompt: str, response: str, split: str = "train") -> Demonstration:
    return Demonstration(Prompt(f"p{number}", prompt, split=split, place=f"d:{number}"), response)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_demonstration_without_any_token_is_refused(split: str, tmp_path: Path) -> None:
    """One without a prompt is a text, and one without a response an answer that says nothing."""
    rows = [shown(1, "add one two", "three"), shown(2, "", "three"), shown(3, "add", "")]
    list(preflight(SFTConfig(), FakeContext(tmp_path, rows)))
    rows.append(shown(4, " ", "", split))
    with pytest.raises(UserError, match="demonstration of d:4 is empty: neither prompt nor"):
        list(preflight(SFTConfig(), FakeContext(tmp_path, rows)))
