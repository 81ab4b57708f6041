"""Rows of stored samples, and what ``preflab evaluate-samples`` says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab.console import commands

ROWS: list[dict[str, Any]] = [
    {
        "model": "A",
        "out": "Paris!",
        "gold": ["paris", "lutetia"],
        "mark": 4,
        "q": "capital of France?",
    },
    {"model": "A", "out": "the Rome", "gold": ["Rome"], "mark": 2, "q": "capital of Italy?"},
    {"model": "B", "out": "Bern", "gold": ["Berlin"], "mark": 0.5, "q": "capital of Germany?"},
]


def json_lines(folder: Path, rows: list[dict[str, Any]]) -> str:
    """A file of these rows."""
    path = folder / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def write(folder: Path, name: str, text: str) -> str:
    """A file of this text."""
    (folder / name).write_text(text, encoding="utf8")
    return str(folder / name)


def results(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The command's JSON."""
    capsys.readouterr()
    assert commands.run("evaluate-samples", [*words, "--json"]) == 0
    output: dict[str, Any] = json.loads(capsys.readouterr().out)
    return output
