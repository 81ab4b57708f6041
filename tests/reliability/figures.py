"""What a test has counted, for the table at the end of ``make reliability``."""

from __future__ import annotations

MARK = "figure: "


def figure(text: str) -> None:
    """Report a figure."""
    print(f"\n{MARK}{text}")
