"""What a person sees on stderr: nothing, lines, or a bar."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from preflab_builtin.progress.display import Bar, Display, Lines, choose, headline


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFLAB_QUIET", raising=False)
    monkeypatch.setattr(Lines, "spacing", 0.0)


def _play(display: Display, steps: int, done: int = 0) -> None:
    display.preflab_stage_reused("pretrain")
    display.preflab_stage_started("sft", steps, [{"step": step} for step in range(done)])
    for step in range(done, steps):
        display.preflab_step_finished("sft", step, {"loss/sft": 1.5, "sft/lr": 0.1})
    display.preflab_stage_finished("sft", 2.0)
    display.preflab_run_finished()


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


def test_a_resumed_stage_says_where_it_resumes() -> None:
    stream = io.StringIO()
    _play(Lines(["pretrain", "sft"], stream), 10, done=8)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "preflab: [2/2] sft: resumes after step 8 of 10"
    assert [line for line in lines if "9/10" in line]
    assert not [line for line in lines if "8/10" in line]


def test_the_bar_shows_loss_and_leaves_lines_behind() -> None:
    stream = Terminal()
    display = Bar(["pretrain", "sft"], stream)
    display.preflab_stage_started("sft", 4, [])
    display.preflab_step_finished("sft", 1, {"loss/sft": 1.25, "objective/kl": float("nan")})
    display.progress.refresh()
    shown = stream.getvalue()
    assert "[2/2] sft" in shown
    assert "2/4" in shown
    assert "loss 1.250" in shown
    assert "nan" not in shown
    display.preflab_stage_finished("sft", 3.0)
    assert "preflab: [2/2] sft: finished in 3.0 s" in stream.getvalue()
    assert display.progress.live.is_started is False


def test_a_failed_run_gives_the_terminal_back() -> None:
    stream = Terminal()
    display = choose(["sft"], stream)
    display.preflab_stage_started("sft", 3, [])
    assert "\x1b[?25l" in stream.getvalue()  # the cursor is hidden while the bar is drawn
    display.preflab_run_failed()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_a_run_in_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    display = choose(["sft", "evaluation"], stream)
    display.preflab_run_started(tmp_path)
    display.preflab_stage_started("sft", 1, [])
    display.preflab_step_finished("sft", 0, {})
    display.preflab_stage_finished("sft", 75.0)
    display.preflab_stage_reused("evaluation")
    display.preflab_run_finished()
    assert stream.getvalue().splitlines() == [
        f"preflab: run {tmp_path}: sft, evaluation",
        "preflab: [1/2] sft: finished in 1 min 15 s",
        "preflab: [2/2] evaluation: reused",
    ]


def test_headline() -> None:
    assert headline({}) == ""
    assert headline({"reward_model/accuracy": 1.0, "other": 2.0}) == "accuracy 1.000"
    # PPO-ptx: its own loss, not that of the pretraining text, which comes first.
    step = {"loss/ptx": 5.555, "loss/policy_avg": -0.001, "objective/kl": 0.25}
    assert headline(step) == "loss -0.001  kl 0.250"
