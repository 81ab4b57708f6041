"""preflab chat on real runs, through the command line: piped, and at a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from end_to_end.runs import preflab
from preflab.composing import search_path
from preflab.console import cli

pytestmark = pytest.mark.slow

SLOW = """
import time
from preflab import Component, hookimpl, option
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from dataclasses import dataclass

@dataclass
class SlowConfig(NativeConfig):
    name: str = option("slow", "component")

class Slow(NativeEngine):
    def stream(self, *given):
        for token in super().stream(*given):
            time.sleep(0.4)
            yield token

def build(config, context):
    return Slow(config, context.runtime)

@hookimpl
def preflab_components():
    return [Component("rollout", "slow", SlowConfig, build=build)]
"""
WORDS = (
    *("debug=fast", "runtime.threads=1", "sft=none", "comparisons=none", "evaluation=none"),
    *("data.documents=100", "data.prompts=50", "data.demonstrations=10", "policy.layers=1"),
    *("trackers=none", "--no-plugin", "report"),
)
PROMPT = "user : what is the color of gus ? assistant :"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs: PPO by a programmatic reward, and one without a reward model."""
    folder = tmp_path_factory.mktemp("chat")
    (folder / "slow.py").write_text(SLOW)
    plugin = ("--plugin", "slow.py", "rollout=slow")
    ppo = ("algorithm=ppo", "reward_model=length", "hydra.run.dir=runs/ppo", *plugin)
    base = ("algorithm=none", "reward_model=none", "hydra.run.dir=runs/base")
    for words in (ppo, base):
        assert preflab(folder, *WORDS, *words) == 0, (folder / "log.txt").read_text()[-2000:]
    return folder


def _chat(folder: Path, *words: str) -> Callable[[], None]:
    def child() -> None:
        os.chdir(folder)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(n, mode, buffering=1) for n, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(TERM="xterm", COLUMNS="100")
        torch.set_num_threads(1)
        search_path.registry.cache_clear()
        cli.main(["chat", *words])

    return child


def _piped(child: Callable[[], None], text: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a forked child with a text as its input."""
    source, out, err = os.pipe(), os.pipe(), os.pipe()
    os.write(source[1], text.encode())
    os.close(source[1])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for n, handle in enumerate((source[0], out[1], err[1])):
                os.dup2(handle, n)
            os.closerange(3, 100)
            child()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    for handle in (source[0], out[1], err[1]):
        os.close(handle)
    with os.fdopen(out[0]) as printed, os.fdopen(err[0]) as said:
        texts = printed.read(), said.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *texts


class Terminal:
    """A forked child at a terminal of its own."""

    def __init__(self, child: Callable[[], None]) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            code = 1
            try:
                child()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                os._exit(code)
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""

    def send(self, text: str) -> None:
        self.seen = ""
        os.write(self.handle, text.encode())

    def wait_for(self, pattern: str) -> str:
        """What is on the screen since the last `send`, once it holds a pattern."""
        until = time.monotonic() + 120
        while not re.search(pattern, self.seen, re.DOTALL):
            assert time.monotonic() < until, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.handle], [], [], 0.5)[0]:
                self.seen += os.read(self.handle, 65536).decode(errors="replace")
        return self.seen

    def ended(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_piped_prompts_are_answered_by_each_run(place: Path) -> None:
    lines = [PROMPT, "/seed 2", PROMPT, "/seed 1", PROMPT, "/role ppo", "/save asked.jsonl"]
    code, out, err = _piped(
        _chat(place, "runs/ppo", "runs/base", "--plugin", "slow.py"), "\n".join(lines)
    )
    first, second, third = out.split(f"> {PROMPT}\n")[1:]
    assert first == third != second  # the same seed gives the same answers
    assert re.match(r"runs/ppo \(result\) \[reward -?[0-9.]+, [1-8] tokens?\]: ", first)
    assert re.search(r"^runs/base \(base\) \[[1-8] tokens?\]: ", first, re.MULTILINE)
    assert "runs/base (base) has no reward model: no scores" in err
    assert "line 6: runs/ppo has no model for 'ppo'. Allowed: base, result" in err
    assert code == 2
    # What was saved is what data.prompts reads.
    assert (place / "asked.jsonl").read_text().count("\n") == 1
    assert preflab(place, "plan", "data=files", "data.prompts=asked.jsonl", "debug=fast") != 1


def test_a_plugin_that_a_run_was_made_with_is_asked_for(place: Path) -> None:
    code, _, err = _piped(_chat(place, "runs/ppo"), PROMPT)
    assert code == 2
    assert "The run was started with --plugin" in err


def test_a_terminal_streams_stops_and_ends(place: Path) -> None:
    terminal = Terminal(_chat(place, "runs/ppo", "--plugin", "slow.py"))
    terminal.wait_for("all that the model sees.*> ")
    terminal.send(f"{PROMPT}\n")
    shown = terminal.wait_for(r"reward -?[0-9.]+, [1-8] tokens?")
    assert "1 token" in shown  # it was there before the rest
    terminal.wait_for("> $")
    terminal.send("/seed 3\n")
    terminal.wait_for("seed 3.*> $")
    terminal.send(f"{PROMPT}\n")
    terminal.wait_for("1 token")
    terminal.send("\x03")  # Ctrl-C
    terminal.wait_for("stopped: .*> $")
    terminal.send("/help\n")
    terminal.wait_for("/temperature.*> $")
    terminal.send("\x04")  # Ctrl-D
    assert terminal.ended() == 0
