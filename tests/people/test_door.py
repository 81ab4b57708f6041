"""What `preflab label` needs is loaded by it alone, and it is listed where commands are."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from preflab import UserError
from preflab.console.completion import own_answers
from preflab.console.overview import overview
from preflab_people.commands import label

HEAVY = ("sqlalchemy", "starlette", "uvicorn", "evalica", "torch", "transformers")
STARTS = """
import sys
from preflab.console import cli
try:
    cli.main(sys.argv[2:])
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["--cfg", "job", "labeler=people"]])
def test_other_commands_load_nothing_of_it(words: list[str]) -> None:
    command = [sys.executable, "-c", STARTS, ",".join(HEAVY), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "LOADED", done.stdout.splitlines()[-1]


def test_help_and_the_tab_key_know_it() -> None:
    assert "  preflab label RUN [RUN ...] [--task rank|demonstrate|compare]" in overview()
    assert own_answers("preflab lab") == ["label"]


def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == "sqlalchemy" else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    for words in (["runs/x"], ["status", "round-1"]):
        with pytest.raises(UserError, match=r"\(sqlalchemy\): pip install 'preflab\[label\]'"):
            label(words)
