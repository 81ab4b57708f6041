"""Which rows a step reads depends on the step alone: not on where a run was cut, nor on how it is
split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab import StorageError
from preflab.engine.loop import CheckpointConfig, Loop
from preflab.interfaces import State
from preflab.optimization import OptimizerConfig
from preflab.randomness import Streams
from preflab.records import Demonstration, Prompt
from preflab.storage import checkpoints
from preflab.storage.artifacts import METRICS, STATE, read_rows
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext, largest_difference

ROWS = [
    Demonstration(Prompt(f"{i}", WORDS[i % 20], split="train"), " ".join(WORDS[: 1 + i % 5]))
    for i in range(24)
]
BATCH, EPOCHS = 6, 3
STEPS = len(ROWS) // BATCH  # 4 an epoch, 12 in all


class Recorded(SupervisedFineTuning):
    """Notes the rows that it trains on, and can be cut before a step."""

    def __init__(self, folder: Path, micro_batch: int, cut_before: int | None = None) -> None:
        config = SFTConfig(
            epochs=EPOCHS, batch=BATCH, optimizer=OptimizerConfig(lr=1e-3), mix_coef=0.0
        )
        super().__init__(config, FakeContext(folder, ROWS, micro_batch=micro_batch))
        self.cut_before, self.forwards = cut_before, 0
        self.read: dict[int, list[int]] = {}

    def step(self, index: int) -> Any:
        if index == self.cut_before:
            raise KeyboardInterrupt
        self.now = index
        return super().step(index)

    def _nll(self, rows: Any) -> torch.Tensor:
        known = {id(row): number for number, row in enumerate(self.examples)}
        self.read.setdefault(self.now, []).extend(
            known[id(row)] for row in rows if id(row) in known
        )
        self.forwards += 1
        return super()._nll(rows)


def run(procedure: Recorded, folder: Path) -> Recorded:
    folder.mkdir(exist_ok=True)
    settings = CheckpointConfig(every_seconds=1e9, every_steps=1)
    Loop("sft", procedure, procedure.context.streams, folder, settings, lambda *a, **b: None).run()
    return procedure


@pytest.fixture(
    scope="module",
    params=[pytest.param(6, marks=pytest.mark.reliability), 2],
    ids=["accumulation 1", "accumulation 3"],
)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Recorded]:
    """(micro-batch, a run that nobody cut)."""
    folder = tmp_path_factory.mktemp("whole")
    found = run(Recorded(folder, request.param), folder / "sft")
    assert found.forwards == EPOCHS * STEPS * BATCH // request.param
    for epoch in range(EPOCHS):
        assert sorted(row for i in range(STEPS) for row in found.read[epoch * STEPS + i]) == list(
            range(24)
        )
    return request.param, found


@pytest.mark.parametrize("saved", [0, 2, STEPS - 1, STEPS, STEPS + 1, EPOCHS * STEPS - 1])
def test_a_resumed_run_reads_the_same_rows(
    saved: int, whole: tuple[int, Recorded], tmp_path: Path
) -> None:
    """0: before any step; 2: amid an epoch; its last but one step done, its last, the first of
    the next, all but the last."""
    micro_batch, expected = whole
    with pytest.raises(KeyboardInterrupt):
        run(Recorded(tmp_path, micro_batch, cut_before=saved), tmp_path / "sft")
    resumed = run(Recorded(tmp_path, micro_batch), tmp_path / "sft")
    assert resumed.read == {step: rows for step, rows in expected.read.items() if step >= saved}
    weights = expected.policy.module.state_dict()
    assert largest_difference(weights, resumed.policy.module.state_dict()) == 0
    assert [row["step"] for row in read_rows(tmp_path / "sft" / METRICS)] == list(
        range(EPOCHS * STEPS)
    )


def test_a_complete_checkpoint_is_not_a_finished_stage(
    tmp_path: Path,
) -> None:
    """As when a counter of epochs is restored one too high: nothing would be trained, and the run
    would end with success."""
    procedure = Recorded(tmp_path, 6)
    state = {"procedure": procedure.state_dict(), "streams": Streams(1).state_dict()}
    facts: State = {"pins": {}, "circumstances": {}, "files": {}}
    checkpoints.save(tmp_path / "sft" / STATE, procedure.total_steps, state, facts)
    with pytest.raises(
        StorageError, match="sft is at its end, but its log holds 0 of its 12 steps"
    ):
        run(procedure, tmp_path / "sft")
    assert not (tmp_path / "sft" / "model").exists()


def test_a_batch_is_within_1e_5_of_three_parts_after_40_steps(tmp_path: Path) -> None:
    """Two processes are one with accumulation, to the bit (tests/end_to_end/test_processes.py):
    it holds of them too."""
    found = []
    for micro_batch in (64, 2, 3):
        config = SFTConfig(steps=40, batch=BATCH, optimizer=OptimizerConfig(lr=1e-3), mix_coef=0.0)
        procedure = SupervisedFineTuning(
            config, FakeContext(tmp_path, ROWS, micro_batch=micro_batch)
        )
        before = {
            name: value.clone() for name, value in procedure.policy.module.state_dict().items()
        }
        for index in range(40):
            procedure.step(index)
        found.append(procedure.policy.module.state_dict())
        assert largest_difference(before, found[-1]) > 1e-2
    assert 0 < largest_difference(found[0], found[1]) < 1e-5
    assert largest_difference(found[0], found[2]) < 1e-5
