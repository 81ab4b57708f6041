"""Two processes give the bits of one process with accumulation 2."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from preflab.optimization import OptimizerConfig
from preflab.records import Demonstration, Document, Prompt
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.training import Pretraining
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from processes import trained
from support import WORDS, FakeContext, largest_difference

pytestmark = pytest.mark.slow


def training(folder: Path) -> None:
    """Pretraining and SFT, each step of two micro-batches."""
    documents = [
        Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)
    ]
    demonstrations = [
        Demonstration(Prompt(str(i), " ".join(WORDS[: 1 + i % 5])), WORDS[i % 10]) for i in range(8)
    ]
    context = FakeContext(folder, [*documents, *demonstrations], micro_batch=2)
    optimizer = OptimizerConfig(lr=1e-2)
    pretrain = PretrainConfig(steps=3, batch=4, window=8, optimizer=optimizer)
    sft = SFTConfig(epochs=2, batch=4, dropout=0.1, optimizer=optimizer)
    for name, procedure in (
        ("pretrain", Pretraining(pretrain, context)),
        ("sft", SupervisedFineTuning(sft, context)),
    ):
        for i in range(procedure.total_steps):
            procedure.step(i)
        if context.runtime.rank == 0:
            procedure.save(folder / name)


def test_two_processes_equal_one_with_accumulation(tmp_path: Path) -> None:
    folders = [trained(training, tmp_path / str(n), n) for n in (1, 2)]
    for stage in ("pretrain", "sft"):
        one, two = (load_file(f / stage / "model" / "model.safetensors") for f in folders)
        assert largest_difference(one, two) == 0
    fresh = dict(FakeContext(tmp_path).policy("base").module.named_parameters())
    assert not torch.equal(fresh["model.embed_tokens.weight"], one["model.embed_tokens.weight"])
