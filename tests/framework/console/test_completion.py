"""What the tab key offers."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framework.storage.test_runs import write
from preflab.console.cli import main
from preflab.console.completion import SCRIPTS, hydras, own_answers

OFFERED = {
    "preflab +gradient_term@algorithm.terms.x=": {
        "+gradient_term@algorithm.terms.x=ptx",
        "+gradient_term@algorithm.terms.x=entropy",
    },
    "preflab algorithm=grpo +gradient_term": {"+gradient_term@algorithm.terms."},
    "preflab algorithm.kl.controller=": {
        "algorithm.kl.controller=fixed",
        "algorithm.kl.controller=adaptive",
    },
    "preflab algorithm=ppo algorithm.advantage.whiten=t": {"algorithm.advantage.whiten=true"},
    "preflab algorithm=dpo algorithm.advantage.whiten=": set(),
    "preflab runs c": {"compare"},
    "preflab artifacts ": {"list", "prune"},
    "preflab plan algorithm=p": set(),
    "preflab pl": {"plan", "plugins"},
    "preflab -cn lad": {"ladder"},
    "preflab plan runtime.precision=": {
        f"runtime.precision={name}" for name in ("float32", "bfloat16", "auto")
    },
    "preflab seed=": set(),
}


@pytest.mark.parametrize("line", OFFERED)
def test_commands_studies_and_enum_values(line: str) -> None:
    assert set(own_answers(line)) == OFFERED[line]


def test_runs_are_offered_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("runs/config/mine"))
    write(Path("runs/study/all/0"))
    assert own_answers("preflab rerun runs/") == ["runs/config/mine", "runs/study/all/0"]
    assert own_answers("preflab runs compare runs/config/mine runs/s") == ["runs/study/all/0"]
    assert own_answers("preflab chat ") == ["runs/config/mine", "runs/study/all/0"]
    assert own_answers("preflab chat mi") == ["mine"]
    Path("runs/study/all/ledger.jsonl").touch()
    assert own_answers("preflab report al") == ["all"]
    assert set(own_answers("preflab power al")) == {"all", "algorithms"}


def test_where_one_run_is_asked_for_the_jobs_of_a_multirun_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for job in ("0", "1"):
        write(Path("runs/study/kl1") / job)
    Path("runs/study/kl1/ledger.jsonl").touch()
    jobs = ["runs/study/kl1/0", "runs/study/kl1/1"]
    assert own_answers("preflab runs compare runs/study/kl") == jobs
    assert own_answers("preflab chat kl") == ["kl1/0", "kl1/1"]
    assert own_answers("preflab runs rm kl1") == ["kl1"]
    assert own_answers("preflab rerun kl1/") == ["kl1/0", "kl1/1"]
    assert own_answers("preflab runs rm runs/") == ["runs/study/kl1", *jobs]


def test_studies_of_an_own_folder_are_offered(tmp_path: Path) -> None:
    (tmp_path / "ladder_of_mine.yaml").touch()
    assert own_answers(f"preflab -cd {tmp_path} -cn ladder") == ["ladder", "ladder_of_mine"]


def _shell(shell: str, folder: Path) -> list[str]:
    """The command that starts a shell with the printed script, and its files written."""
    (folder / "rc").write_text(f"PS1='> '\n{SCRIPTS[shell]}\n")
    if shell == "bash":
        return ["bash", "--noprofile", "--rcfile", str(folder / "rc"), "-i"]
    (folder / "rc").rename(folder / ".zshrc")
    return ["zsh", "-i"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_tab_key_in_a_terminal(shell: str, tmp_path: Path) -> None:
    """A component inside another, whose key has an @; a command; and what nothing completes."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} is installed here")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "preflab"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m preflab "$@"\n')
    program.chmod(0o755)
    ours = os.pathsep.join(word for word in sys.path if word)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": ours,
        **dict.fromkeys(("HOME", "ZDOTDIR"), str(tmp_path)),
        "TERM": "dumb",
    }
    master, slave = pty.openpty()
    with subprocess.Popen(
        _shell(shell, tmp_path),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            _until(master, "> ")
            os.write(master, b"preflab +gradient_term@algorithm.terms.x=p\t")
            assert "Traceback" not in _until(master, "terms.x=ptx")
            os.write(master, b"\x15preflab doc\t")
            assert "Traceback" not in _until(master, "doctor")
            os.write(master, b"\x15preflab plan nonsens\tEND")
            assert "Traceback" not in _until(master, "END")
        finally:
            process.kill()
            os.close(master)


def _until(terminal: int, text: str) -> str:
    """What a terminal shows until it has shown a text."""
    shown, limit = "", time.monotonic() + 120
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], limit - time.monotonic())
        assert ready, shown
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


HYDRAS = {
    "preflab plan algor": "preflab algor",
    "preflab plan ": "preflab ",
    "preflab algorithm=p": "preflab algorithm=p",
    "preflab seed=1 algor": "preflab seed=1 algor",
    "preflab -m algor": "preflab -m algor",
    "preflab rerun runs/config/a al": "preflab al",
    "preflab rerun runs/config/a ": "preflab ",
    "preflab rerun alg": None,
    "preflab chat alg": None,
    "preflab report a b": None,
}


@pytest.mark.parametrize("line", HYDRAS)
def test_hydra_sees_neither_a_command_nor_its_run(line: str) -> None:
    assert hydras(line) == HYDRAS[line]


@pytest.mark.parametrize(
    "line", ["preflab plan algor", "preflab --nonsense algor", "preflab chat "]
)
def test_nothing_but_answers_is_written(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setattr("sys.argv", ["preflab"])
    with pytest.raises(SystemExit) as ended:
        main(["-sc", "query=bash"])
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (0, "")
    if line == "preflab plan algor":
        assert "algorithm=" in said.out.split()
