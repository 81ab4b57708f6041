"""Runs that are started from Python: the same refusals as on the command line, before anything
runs, and this process as it was."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import preflab
from preflab import NumericError, SweepError, UserError
from preflab.door.discovery import FILES
from preflab.session import starting
from preflab.signals import Stopped
from preflab.visible import VISIBLE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFLAB_RUN_FOLDER", "")
    monkeypatch.setattr(starting, "calm_threads", lambda: None)


REFUSED: dict[str, tuple[Any, str]] = {
    "an unknown option": ("algorithm=pp", "Did you mean 'ppo'"),
    "a value out of range": (["seed=-1"], "seed is -1 but must be >= 0"),
    "several runs": ("-m seed=1,2", r"preflab.study\('config', '-m ...'\)"),
    "a study": ("-cn ladder", r"preflab.study\('ladder'\)"),
    "something to show": ("--cfg job", "preflab.compose does"),
    "no word": ([("seed", 1)], "is not a word of a command line"),
    "nothing": (None, "None is not a text or a list"),
    "half of a quotation": ("note='a b", "No closing quotation. A list of words needs no quotes"),
    "help": ("seed=1 --help", "--help asks to show something"),
    "the version": ("--version", "--version asks to show something"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_command_line_refuses_is_refused(what: str) -> None:
    words, message = REFUSED[what]
    before = list(sys.argv)
    with pytest.raises(UserError, match=message):
        preflab.run(words)
    assert sys.argv == before
    assert not list(Path().iterdir())


def test_one_run_is_no_study() -> None:
    with pytest.raises(UserError, match=r"preflab.run\(\['-cn', 'config'\]\)"):
        preflab.study("config")
    with pytest.raises(UserError, match=r"There is no .*'laddr'"):
        preflab.study("laddr")


def test_a_process_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, logging, threads, random numbers and plugins, also after an interrupt."""
    log, handler = logging.getLogger(), logging.NullHandler()
    Path("mine.py").write_text("")
    seen: list[tuple[list[str], str | None]] = []

    def work(line: object, jobs: object) -> None:
        seen.append((list(sys.argv), os.environ.get(FILES)))
        os.environ[VISIBLE] = "1"  # as a run does that asks for one GPU
        log.handlers[:] = [handler]
        torch.manual_seed(5)
        torch.set_num_threads(torch.get_num_threads() + 1)
        raise Stopped(2)

    monkeypatch.setattr(starting, "carry_out", work)
    monkeypatch.setenv(VISIBLE, "1,0")
    before = (list(sys.argv), list(log.handlers), torch.get_num_threads(), os.environ.get(FILES))
    state = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        preflab.run(["--plugin", "mine.py", "seed=2", "algorithm=none"])
    assert seen == [(["preflab", "seed=2", "algorithm=none"], str(Path("mine.py").resolve()))]
    after = (list(sys.argv), list(log.handlers), torch.get_num_threads(), os.environ.get(FILES))
    assert before == after
    assert os.environ[VISIBLE] == "1,0"
    assert torch.equal(state, torch.random.get_rng_state())


class Told:
    """A process that says something on stderr and ends with a code."""

    def __init__(self, code: int, said: str) -> None:
        self.returncode, self.stderr = code, said.splitlines(keepends=True)
        self.command: Sequence[str] = ()

    def __call__(self, command: Sequence[str], **options: Any) -> Told:
        self.command = command
        return self

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None: ...


ENDS: dict[str, tuple[int, type[BaseException], str]] = {
    "jobs failed": (1, SweepError, "2 job(s) failed"),
    "a number": (5, NumericError, "the loss is nan"),
    "a signal": (130, KeyboardInterrupt, "the same call goes on"),
}


@pytest.mark.parametrize("what", ENDS)
def test_a_study_raises_what_its_process_said(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, kind, message = ENDS[what]
    told = Told(code, f"preflab: [1/1] sft: finished\npreflab: {message}\n")
    monkeypatch.setattr("preflab.session.starting.subprocess.Popen", told)
    with pytest.raises(kind) as error:
        preflab.study("config", "-m seed=1,2 algorithm=none")
    assert message in str(error.value)
    assert '"-cn", "config"' in told.command[-1]


def test_a_study_goes_where_the_command_line_would_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is told the folder, unless a name tells it."""
    told = Told(0, "")
    monkeypatch.setattr("preflab.session.starting.subprocess.Popen", told)
    found = preflab.study("config", "-m seed=1,2 algorithm=none")
    assert found.folder.parent == Path("runs/config")
    assert f'"hydra.sweep.dir={found.folder}"' in told.command[-1]
    named = preflab.study("config", "-m seed=1,2 algorithm=none name=grid")
    assert named.folder == Path("runs/config/grid")
    assert "hydra.sweep.dir" not in told.command[-1]
    assert (named.claims, named.runs) == ({}, [])
    assert named.measures().empty
