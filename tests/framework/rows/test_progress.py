"""A bar in a terminal, a line elsewhere, and nothing for short files or where nobody wants it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from preflab.rows import progress

READ = Path("pairs.jsonl")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _said(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, patience: float) -> str:
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setattr(progress, "REDRAWN", 0.0)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.watching(READ, 4_000_000) as watch:
        watch(1_000_000)
        watch(1_000_000)
    return stream.getvalue()


def test_elsewhere_a_line_says_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFLAB_QUIET", raising=False)
    said = _said(monkeypatch, io.StringIO(), patience=-1)
    assert said == "preflab: pairs.jsonl: 4 MB read in 0 s\n"
    assert _said(monkeypatch, io.StringIO(), patience=60) == ""


def test_in_a_terminal_a_bar_shows_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFLAB_QUIET", raising=False)
    said = _said(monkeypatch, Terminal(), patience=-1)
    assert "reading pairs.jsonl" in said
    assert "2.0/4.0 MB" in said
    assert _said(monkeypatch, Terminal(), patience=60) == ""


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_QUIET", "1")
    assert _said(monkeypatch, Terminal(), patience=-1) == ""
    assert _said(monkeypatch, io.StringIO(), patience=-1) == ""
