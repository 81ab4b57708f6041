"""What a person sees on stderr: nothing, lines, or a bar."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflab_builtin import progress
from preflab_builtin.progress.display import Bar, Display, Lines, choose, duration, headline


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _nothing_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PREFLAB_QUIET", raising=False)
    monkeypatch.setattr(Lines, "spacing", 0.0)
    yield
    progress.preflab_run_failed()


def _play(display: Display, steps: int, done: int = 0) -> None:
    display.reused("pretrain")
    display.started("sft", steps, done)
    for step in range(done, steps):
        display.step("sft", step, {"loss/sft": 1.5, "lr": 0.1})
    display.finished("sft", 2.0)
    display.close()


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose([], Terminal()), Bar)
    assert isinstance(choose([], io.StringIO()), Lines)
    monkeypatch.setenv("PREFLAB_QUIET", "1")
    for stream in (Terminal(), io.StringIO()):
        display = choose(["pretrain", "sft"], stream)
        _play(display, 20)
        assert stream.getvalue() == ""


def test_a_stage_of_an_instant_gets_no_lines_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "spacing", 60.0)
    stream = io.StringIO()
    _play(Lines(["pretrain", "sft"], stream), 95)
    assert len(stream.getvalue().splitlines()) == 2


def test_lines_come_at_every_tenth() -> None:
    stream = io.StringIO()
    _play(Lines(["pretrain", "sft"], stream), 95)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "preflab: [1/2] pretrain: reused"
    assert lines[-1] == "preflab: [2/2] sft: finished in 2.0 s"
    # 95 steps: a line where another tenth is full, at ceil(9.5 i) for i = 1..9
    assert [int(re.findall(r"(\d+)/95", line)[0]) for line in lines[1:-1]] == [
        10,
        19,
        29,
        38,
        48,
        57,
        67,
        76,
        86,
    ]
    assert re.fullmatch(r"preflab: \[2/2\] sft: 10/95  loss 1\.500  .* left", lines[1])


@pytest.mark.parametrize("steps", [1, 3, 10, 11, 1000])
def test_short_and_long_stages_get_at_most_nine_lines(steps: int) -> None:
    stream = io.StringIO()
    _play(Lines(["pretrain", "sft"], stream), steps)
    assert len(stream.getvalue().splitlines()) == 2 + min(9, steps - 1)


def test_a_resumed_stage_says_where_it_goes_on() -> None:
    stream = io.StringIO()
    _play(Lines(["pretrain", "sft"], stream), 10, done=8)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "preflab: [2/2] sft: goes on after step 8 of 10"
    assert [line for line in lines if "9/10" in line]
    assert not [line for line in lines if "8/10" in line]


def test_the_bar_shows_loss_and_leaves_lines_behind() -> None:
    stream = Terminal()
    display = Bar(["pretrain", "sft"], stream)
    display.started("sft", 4, 0)
    display.step("sft", 1, {"loss/sft": 1.25, "objective/kl": float("nan")})
    display.progress.refresh()
    shown = stream.getvalue()
    assert "[2/2] sft" in shown
    assert "2/4" in shown
    assert "loss 1.250" in shown
    assert "nan" not in shown
    display.finished("sft", 3.0)
    assert "preflab: [2/2] sft: finished in 3.0 s" in stream.getvalue()
    assert display.progress.live.is_started is False
    display.close()


def test_a_failed_run_gives_the_terminal_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    progress.preflab_run_started(folder=tmp_path, stages=["sft"])
    progress.preflab_stage_started(stage="sft", total_steps=3, history=[])
    assert "\x1b[?25l" in stream.getvalue()  # the cursor is hidden while the bar is drawn
    progress.preflab_run_failed()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_hooks_drive_the_display_of_their_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        progress.preflab_run_started(folder=tmp_path / name, stages=["sft", "evaluation"])
        progress.preflab_stage_started(stage="sft", total_steps=1, history=[])
        progress.preflab_step_finished(stage="sft", step=0, metrics={})
        progress.preflab_stage_finished(stage="sft", seconds=75.0)
        progress.preflab_stage_reused(stage="evaluation")
        progress.preflab_run_finished()
        assert stream.getvalue().splitlines() == [
            f"preflab: run {tmp_path / name}: sft, evaluation",
            "preflab: [1/2] sft: finished in 1 min 15 s",
            "preflab: [2/2] evaluation: reused",
        ]


def test_headline_and_duration() -> None:
    assert headline({}) == ""
    assert headline({"objective/scores": 1.0, "mean_reward": 2.0}) == "reward 1.000"
    assert [duration(s) for s in (0.04, 59.96, 119.6, 7199.9)] == [
        "0.0 s",
        "1 min 0 s",
        "2 min 0 s",
        "2 h 0 min",
    ]
