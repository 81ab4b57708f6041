"""Pretraining: the loss and gradient it says, whatever the micro-batches; resume to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Document
from preflab.storage import checkpoints
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.training import Pretraining
from support import FakeContext, builtin, largest_difference

SENTENCES = [
    "one plus two equals three .",
    "red is good .",
    "blue is bad please .",
    "two plus two equals four .",
]
DOCUMENTS = [Document(str(i), SENTENCES[i % 4], split="train") for i in range(40)]
HELD_OUT = [Document(f"v{i}", SENTENCES[i % 4], split="validation") for i in range(8)]


def config(**values: Any) -> PretrainConfig:
    optimizer = OptimizerConfig(lr=1e-2, warmup=2)
    return PretrainConfig(
        **{"steps": 6, "batch": 4, "window": 12, "optimizer": optimizer, **values}
    )


def weights(procedure: Pretraining) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in procedure.policy.module.named_parameters()}


def test_the_loss_falls_and_is_reported(tmp_path: Path) -> None:
    procedure = Pretraining(config(steps=60), FakeContext(tmp_path, [*DOCUMENTS, *HELD_OUT]))
    rows = [procedure.step(i) for i in range(procedure.total_steps)]
    # A fresh model knows nothing of 23 ids: log 23 = 3.14 nats; four sentences by heart cost
    # little more than their order.
    assert rows[0]["loss/pretrain"] == pytest.approx(3.14, abs=0.1)
    assert rows[-1]["loss/pretrain"] < 1.0
    assert rows[-1]["pretrain/validation_loss"] < 1.0
    assert "pretrain/validation_loss" not in rows[0]
    assert rows[-1]["pretrain/tokens"] == 60 * 4 * 12
    # Half-way from 0.1 to 1 of the peak.
    assert rows[1]["pretrain/lr"] == pytest.approx(1e-2 * 0.55)


def test_gradient_accumulation_changes_nothing(tmp_path: Path) -> None:
    found = []
    for micro_batch in (16, 4, 1):
        # A smaller one magnifies rounding.
        plain = OptimizerConfig(lr=1e-2, schedule=Schedule.constant, eps=1e-5)
        world = FakeContext(tmp_path, DOCUMENTS, micro_batch=micro_batch)
        procedure = Pretraining(config(batch=16, optimizer=plain), world)
        first = procedure.step(0)
        found.append((first, weights(procedure)))
    for metrics, after in found[1:]:
        assert metrics["loss/pretrain"] == pytest.approx(found[0][0]["loss/pretrain"], rel=1e-6)
        assert metrics["pretrain/grad_norm"] == pytest.approx(
            found[0][0]["pretrain/grad_norm"], rel=1e-5
        )
        assert largest_difference(after, found[0][1]) < 1e-5


def test_resumed_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    whole = Pretraining(config(), FakeContext(tmp_path, DOCUMENTS))
    metrics = [whole.step(i) for i in range(6)]
    first = Pretraining(config(), FakeContext(tmp_path, DOCUMENTS))
    again = [first.step(i) for i in range(3)]
    _, state = checkpoints.load(checkpoints.save(tmp_path / "state", 3, first.state_dict()))
    second = Pretraining(config(), FakeContext(tmp_path, DOCUMENTS))
    second.load_state_dict(state)
    assert [*again, *(second.step(i) for i in range(3, 6))] == metrics
    assert largest_difference(weights(second), weights(whole)) == 0


def test_result_is_a_model_folder(tmp_path: Path) -> None:
    world = FakeContext(tmp_path, DOCUMENTS)
    procedure = Pretraining(config(steps=2), world)
    for i in range(2):
        procedure.step(i)
    procedure.save(tmp_path)
    read = {
        n: p.detach() for n, p in world.source.load(tmp_path / "model").module.named_parameters()
    }
    assert largest_difference(read, weights(procedure)) == 0


def test_components(tmp_path: Path) -> None:
    component = builtin("pretrain", "documents")
    assert component.needs(config()) == ("documents",)
    assert builtin("pretrain", "none").procedure is None
    with pytest.raises(UserError, match="fewer than one window"):
        Pretraining(config(window=2000), FakeContext(tmp_path, DOCUMENTS))
