"""preflab serve as a command: what it refuses before any work, and that nothing else needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab_serve.commands import serve


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "name the folder of a run"),
        (["nothing"], "nothing"),
        (["--prot", "1"], "Did you mean '--port'"),
        (["--port", "99999", "x"], "whole number from 0 to 65535"),
        (["x", "--host", "0.0.0.0"], "it needs keys"),
        (["--new-key", "mine"], "--keys FILE"),
        (["x", "--log-text"], "--log FOLDER"),
        (["x", "--allow-host", "https://a.org:8443/v1"], "Did you mean 'a.org:8443'"),
        (["x", "--guard", "none.yaml"], "there is no file none.yaml"),
        (["x", "--keys", "none"], "Make one: preflab serve --keys none --new-key NAME"),
    ],
)
def test_what_cannot_be_served_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        serve(words)


def test_others_reach_it_with_keys_and_by_a_known_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve(["--keys", "keys.txt", "--new-key", "mine"]) == 0
    assert capsys.readouterr().out.startswith("preflab-")
    with pytest.raises(UserError, match="--allow-host NAME"):
        serve(["x", "--host", "0.0.0.0", "--keys", "keys.txt"])


def test_other_commands_start_without_it() -> None:
    code = (
        "import sys; from preflab.composing.search_path import registry; registry().commands();"
        "heavy = {'starlette', 'uvicorn', 'limits', 'torch', 'transformers'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
