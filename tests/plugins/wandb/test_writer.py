"""Rows of wandb over kills, with a server that is a list; the library itself is in
tests/contracts/test_trackers.py (make test-trackers)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.tracking import Sample, TrackedRun
from preflab_builtin.wandb.config import Mode, WandbConfig
from preflab_builtin.wandb.writer import WandbRun

STEPS = [("sft", 0), ("sft", 1), ("algorithm", 0), ("algorithm", 1), ("algorithm", 2)]
SAMPLE = Sample("p", "question", "answer", True, 3, {"kl": 0.5})


class Server:
    """What wandb's server holds: rows by their number, which only increases."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.summary: dict[str, Any] = {}

    @property
    def step(self) -> int:
        """Where a run that goes on begins, as wandb says it."""
        return max(self.rows, default=-1) + 1

    def log(self, row: dict[str, Any], step: int, commit: bool) -> None:
        assert commit
        assert step >= self.step, "wandb drops a row whose number is not above the last"
        self.rows[step] = row

    def define_metric(self, name: str, step_metric: str) -> None: ...

    def finish(self, exit_code: int) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    held = Server()
    library = SimpleNamespace(
        run=None,
        init=lambda **given: held,
        Settings=lambda **given: None,
        Table=lambda columns: SimpleNamespace(add_data=lambda *cells: None),
    )
    monkeypatch.setitem(sys.modules, "wandb", library)
    return held


def _process(folder: Path, calls: int, samples_of_before: bool) -> None:
    """A process that shows all steps, killed after so many calls. samples_of_before: whether the
    samples of steps that an earlier process did are shown again."""
    run = WandbRun(WandbConfig(mode=Mode.online), TrackedRun(folder, {}, ("sft", "algorithm")))
    left = calls
    for stage, step in STEPS:
        for action in ("show", "log"):
            left -= 1
            if left < 0:
                return
            if action == "log":
                run.log(stage, step, {f"loss/{stage}": float(step)}, None)
            elif samples_of_before:
                run.show(stage, step, [SAMPLE])
        if (stage, step) in (STEPS[1], STEPS[-1]):
            run.flush()
    run.close(None)


@pytest.mark.parametrize("samples_of_before", [True, False])
@pytest.mark.parametrize("killed_after", range(11))
def test_every_step_is_one_row_whatever_was_sent_before_the_kill(
    killed_after: int, samples_of_before: bool, server: Server, tmp_path: Path
) -> None:
    _process(tmp_path, killed_after, True)
    held = dict(server.rows)
    _process(tmp_path, 100, samples_of_before)
    axes = [(n.removeprefix("step/"), row[n]) for row in server.rows.values() for n in row]
    assert [axis for axis in axes if axis in STEPS] == STEPS
    assert list(server.rows) == [0, 1, 2, 3, 4]
    losses = [row[name] for row in server.rows.values() for name in row if "loss" in name]
    assert losses == [float(step) for _, step in STEPS]
    assert all(server.rows[number] == row for number, row in held.items())  # nothing sent twice
    if samples_of_before:
        assert all(any("samples/" in n for n in row) for row in server.rows.values())
