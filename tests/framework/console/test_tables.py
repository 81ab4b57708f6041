"""Tables in a file are wide enough for what they hold."""

from __future__ import annotations

import pytest
from rich.table import Table

from preflab.console.tables import show


def test_a_table_in_a_file_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name")
    table.add_row("x" * 140)  # a terminal of 80 characters would break it
    show(table)
    assert "x" * 140 in capsys.readouterr().out
