"""Which measures the tables of runs show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.storage.test_runs import write
from preflab import UserError
from preflab.console.measuring import chosen, number
from preflab.storage.runs import runs_below


def test_measures_by_name_and_by_pattern(tmp_path: Path) -> None:
    measures = {name: {"value": 0.5} for name in ("a/one", "a/two", "b/one")}
    write(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps({"evaluation": {"measures": measures}}))
    runs = runs_below(tmp_path)
    assert chosen("", runs) == []
    assert chosen("b/one,a/*", runs) == ["b/one", "a/one", "a/two"]
    with pytest.raises(UserError, match="Did you mean 'a/two'"):
        chosen("a/tow", runs)


def test_a_cell_has_four_digits_or_nothing() -> None:
    assert [number(m) for m in ({"value": 0.12345}, {"value": None}, None)] == ["0.1235", "-", "-"]
