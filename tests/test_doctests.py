"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for folder in ("framework", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf8")
]


def _module(path: Path) -> str:
    folder = next(p for p in (ROOT / "framework", ROOT / "plugins") if p in path.parents)
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_examples(path: Path) -> None:
    failed, tried = doctest.testmod(importlib.import_module(_module(path)))
    assert tried
    assert not failed
