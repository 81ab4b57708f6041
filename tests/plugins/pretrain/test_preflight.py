"""Windows of tokens that do not fit are told before the first stage, with the key to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.records import Demonstration, Document, Prompt, Record
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.preflight import preflight as pretrain
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.ptx.preflight import preflight as ptx
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.preflight import preflight as sft
from support import FakeContext

RECORDS: list[Record] = [
    Demonstration(Prompt("d", "add", split="train"), "red"),
    *(Document(f"d{i}", "red red red", split="train") for i in range(3)),  # 12 tokens with ends
]
KINDS: dict[str, Any] = {
    "pretrain.window": (pretrain, lambda window: PretrainConfig(window=window)),
    "sft.mix_window": (sft, lambda window: SFTConfig(mix_coef=1.0, mix_window=window)),
    "algorithm.terms.ptx.window": (ptx, lambda window: PtxConfig(window=window)),
}


@pytest.mark.parametrize("key", KINDS)
def test_a_window_fits_into_the_model_and_the_documents_fill_one(key: str, tmp_path: Path) -> None:
    preflight, config = KINDS[key]
    context = FakeContext(tmp_path, RECORDS, policy_config={"max_positions": 16})
    assert list(preflight(config(12), context)) == []
    with pytest.raises(UserError, match=rf"hold 12 tokens, .*set {key}=12 or less"):
        list(preflight(config(13), context))
    with pytest.raises(UserError, match=rf"more than the 16 positions .* Set {key}=16 or less"):
        list(preflight(config(17), context))


def test_what_is_switched_off_needs_no_documents(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, RECORDS[:1])
    assert list(sft(SFTConfig(mix_coef=0.0), context)) == []
    assert list(ptx(PtxConfig(coef=0.0), context)) == []
