"""Tables in a file are wide enough for what they hold."""

from __future__ import annotations

import pytest
from rich.table import Table

from preflab.console.tables import fits, show


def test_a_table_in_a_file_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    for width in (140, 400):  # a terminal of 80 characters would break it
        table = Table("name")
        table.add_row("x" * width)
        assert fits(table)
        show(table)
        assert "x" * width in capsys.readouterr().out
