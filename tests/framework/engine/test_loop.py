"""The loop: a run that is killed anywhere and started again equals the one that was not."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab import NumericError, UserError
from preflab.cost import WORK, Spent, Work
from preflab.engine.loop import CheckpointConfig, Loop, Stopped
from preflab.randomness import Streams
from preflab.storage import checkpoints
from preflab.storage.artifacts import LAST, METRICS, STATE, read_rows


class Walk:
    """A random walk of four numbers: depends on its state and on a stream."""

    total_steps = 10

    def __init__(
        self, streams: Streams, die_at: int | None = None, signal_at: int | None = None
    ) -> None:
        self.streams, self.die_at, self.signal_at = streams, die_at, signal_at
        self.position = torch.zeros(4)

    def step(self, index: int) -> Mapping[str, float]:
        if index == self.die_at:
            raise KeyError("killed")
        if index == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        WORK.add(tokens=3, flops=100.0 + index)
        self.position = (
            self.position * 0.9 + torch.randn(4, generator=self.streams["steps"]) + torch.randn(4)
        )
        return {"loss/walk": float(self.position.sum())}

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"].clone()

    def save(self, folder: Path) -> None:
        (folder / "result.txt").write_text(repr(self.position.tolist()))


def _run(folder: Path, every: int = 3, **arguments: Any) -> str:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    streams = Streams(1, "walk")
    walk = Walk(streams, **arguments)
    Loop(
        "walk",
        walk,
        streams,
        folder,
        CheckpointConfig(every_seconds=1e9, every_steps=every),
        lambda hook, **a: None,
    ).run()
    return (folder / "result.txt").read_text()


@pytest.mark.parametrize("every", [1, 3, 4])
@pytest.mark.parametrize("kills", [[0], [4], [9], [2, 5, 7]])
def test_killed_and_repeated_is_bit_identical(tmp_path: Path, every: int, kills: list[int]) -> None:
    expected = _run(tmp_path / "whole")
    for kill in kills:
        with pytest.raises(KeyError):
            _run(tmp_path / "killed", every, die_at=kill)
    assert _run(tmp_path / "killed", every) == expected
    rows = read_rows(tmp_path / "killed" / METRICS)
    assert rows == read_rows(tmp_path / "whole" / METRICS)
    assert [row["step"] for row in rows] == list(range(10))


def test_what_a_stage_took_is_counted_through_kills(tmp_path: Path) -> None:
    # Ten steps of 3 tokens and 100 + index operations, and 7 tokens when the procedure is made.
    streams = Streams(1, "walk")
    settings = CheckpointConfig(every_seconds=1e9, every_steps=3)
    for die_at in (5, 8, None):
        spent = Spent()
        WORK.add(tokens=7, flops=0.0)
        walk = Walk(streams, die_at)
        loop = Loop("walk", walk, streams, tmp_path, settings, lambda hook, **a: None, spent=spent)
        if die_at is None:
            loop.run()
            continue
        with pytest.raises(KeyError):
            loop.run()
    spent.count()
    assert spent.total == Work(7 + 30, 1000.0 + 45)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = _run(tmp_path / "whole")
    with pytest.raises(KeyError):
        _run(tmp_path / "killed", 2, die_at=7)
    newest = tmp_path / "killed" / STATE / "step-000000006" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert _run(tmp_path / "killed") == expected
    assert "step-000000004" in capfd.readouterr().err


def test_a_signal_ends_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    expected = _run(tmp_path / "whole")
    with pytest.raises(Stopped) as stopped:
        _run(tmp_path / "stopped", 100, signal_at=4)
    assert stopped.value.exit_code == 143  # 128 + SIGTERM
    assert [p.name for p in (tmp_path / "stopped" / STATE).iterdir()] == ["step-000000005"]
    assert _run(tmp_path / "stopped", 100) == expected


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    class Broken(Walk):
        def step(self, index: int) -> Mapping[str, float]:
            return {"loss/walk": float("nan") if index == 2 else 0.0}

    streams = Streams(1)
    loop = Loop(
        "walk", Broken(streams), streams, tmp_path, CheckpointConfig(), lambda hook, **a: None
    )
    with pytest.raises(NumericError, match="step 2"):
        loop.run()
    assert len(read_rows(tmp_path / METRICS)) == 2


class Further(Walk):
    """A walk that can begin where another one ended."""

    def __init__(self, streams: Streams, steps: int, begins_from: Path | None) -> None:
        super().__init__(streams)
        self.total_steps, self.begins_from = steps, begins_from


def _walk(
    folder: Path,
    steps: int,
    begins_from: Path | None = None,
    pins: Mapping[str, str] | None = None,
    state_mb: float | None = None,
) -> str:
    folder.mkdir()
    torch.manual_seed(5)
    streams = Streams(1, "walk")
    settings = CheckpointConfig(every_seconds=1e9, state_mb=state_mb)
    walk, made = Further(streams, steps, begins_from), {"recipe": folder.name, **(pins or {})}
    Loop("walk", walk, streams, folder, settings, lambda hook, **a: None, pins=made).run()
    return (folder / "result.txt").read_text()


def test_two_halves_are_one_whole(tmp_path: Path) -> None:
    whole = _walk(tmp_path / "whole", 10)
    assert _walk(tmp_path / "half", 4) != whole
    assert _walk(tmp_path / "rest", 10, tmp_path / "half") == whole
    assert read_rows(tmp_path / "rest" / METRICS) == read_rows(tmp_path / "whole" / METRICS)


def test_what_was_made_from_other_inputs_is_not_trained_on(tmp_path: Path) -> None:
    _walk(tmp_path / "half", 4, pins={"reward_model": "a"})
    with pytest.raises(UserError, match=r"another reward_model than this run has.*preflab rerun"):
        _walk(tmp_path / "rest", 10, tmp_path / "half", pins={"reward_model": "b"})


@pytest.mark.parametrize(("limit", "kept"), [(0.0, False), (1.0, True), (None, True)])
def test_the_last_state_is_kept_up_to_a_size(
    tmp_path: Path, limit: float | None, kept: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    _walk(tmp_path / "half", 4, state_mb=limit)
    assert (tmp_path / "half" / LAST).exists() == kept
    assert ("checkpoint.state_mb" in capfd.readouterr().err) == (not kept)


def test_a_procedure_that_cannot_be_trained_on_keeps_no_state(tmp_path: Path) -> None:
    _run(tmp_path / "whole")
    assert not (tmp_path / "whole" / LAST).exists()


class Short(Walk):
    """A walk that ends by itself after four steps."""

    def step(self, index: int) -> Mapping[str, float]:
        if index == 3:
            self.total_steps = 4
        return super().step(index)


def test_a_procedure_may_end_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    streams = Streams(1, "walk")
    settings = CheckpointConfig(every_seconds=1e9)
    Loop("walk", Short(streams), streams, tmp_path, settings, lambda hook, **a: None).run()
    assert (tmp_path / "result.txt").is_file()
    assert len(read_rows(tmp_path / METRICS)) == 4
    assert "walk ended by itself after step 4 of 10" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("every", "took", "saved"),
    [
        (20.0, 1.0, [2, 4, 6, 8]),
        (20.0, 15.0, [2, 8]),  # 60 s, four times 15, pass between two
        (20.0, 60.0, [2]),
        (0.0, 60.0, [*range(1, 10)]),
    ],
)
def test_slow_saves_are_seldom(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: float,
    took: float,
    saved: list[int],
) -> None:
    """Ten steps of 10 s each."""
    now, found = [0.0], list[int]()
    monkeypatch.setattr("preflab.engine.loop.time", SimpleNamespace(monotonic=lambda: now[0]))
    write = checkpoints.save

    def slow(*arguments: Any) -> Path:
        now[0] += took
        return write(*arguments)

    class Slow(Walk):
        def step(self, index: int) -> Mapping[str, float]:
            now[0] += 10.0
            return super().step(index)

    def observe(hook: str, **facts: Any) -> None:
        found.extend([facts["step"]] if hook == "preflab_checkpoint_saved" else [])

    monkeypatch.setattr(checkpoints, "save", slow)
    streams = Streams(1, "walk")
    settings = CheckpointConfig(every_seconds=every)
    Loop("walk", Slow(streams), streams, tmp_path, settings, observe).run()
    assert found == saved
