"""framework/PROMISES.md: every promise names tests that exist and bear no mark that skips them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "framework" / "PROMISES.md").read_text(encoding="utf8")
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")
]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_promise_names_a_test() -> None:
    assert len(ROWS) >= 25
    assert len(NAMED) >= len(ROWS)
    for row in ROWS:
        cells = row.strip("| ").split(" | ")
        assert re.search(r"`tests/[\w/]+\.py::\w+`", cells[1]), row


@pytest.mark.parametrize("path,name", NAMED)
def test_the_named_test_exists_and_is_not_skipped(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1, f"{path} has no {name}"
    assert not any(
        "skip" in ast.unparse(mark) or "xfail" in ast.unparse(mark)
        for mark in found[0].decorator_list
    )
