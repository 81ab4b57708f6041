"""How wide tables are, and times in words."""

from __future__ import annotations

import sys

import pytest

from preflab.terminal import WIDTH_OF_A_FILE, duration, width


def test_a_table_is_as_wide_as_the_terminal_or_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert width() == 90
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert width() == WIDTH_OF_A_FILE


def test_a_time_has_two_units_at_most_and_is_never_sixty_of_one() -> None:
    times = (0.04, 9.96, 59.6, 59.4, 119.6, 3599.6, 7199.9)
    assert [duration(s) for s in times] == [
        *("0.0 s", "10 s", "1 min 0 s", "59 s", "2 min 0 s", "1 h 0 min", "2 h 0 min")
    ]
