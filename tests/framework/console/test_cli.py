"""The command line as a process: flags, help, commands, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from preflab.console import cli
from preflab.version import __version__


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["preflab"])
    for name in ("calm_threads", "skip_last_collection"):
        monkeypatch.setattr(cli, name, lambda: None)


def ended(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    return end.value.code


@pytest.mark.parametrize(
    "words,message",
    [
        (("nonsense",), "neither a command nor an override"),
        (("version",), "preflab --help shows everything."),
        (("seed=-1",), "seed is -1 but must be >= 0"),
        (("--plugin",), "--plugin needs a value"),
        (("algorithm=pp",), "Did you mean 'ppo'"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_2(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(*words) == 2
    text = capsys.readouterr().err
    assert text.startswith("preflab: ")
    assert message in text
    assert "Traceback" not in text


@pytest.mark.parametrize("words", [("--help",), ("-h", "seed=1")])
def test_help_is_the_overview(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*words) == 0
    assert capsys.readouterr().out.startswith("preflab: the InstructGPT experiment bench")


def test_the_version_is_preflabs(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--version") == 0
    assert capsys.readouterr().out == f"preflab {__version__}\n"


@pytest.mark.parametrize("words", ["--help", "runs --help", "artifacts prune --help"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str) -> None:
    """The pipe is closed before anything is written; argparse ends the process by itself."""
    command = [sys.executable, "-m", "preflab", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
