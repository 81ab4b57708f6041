"""Colours and marks of the pictures, on light and on dark pages."""

from __future__ import annotations

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#20262e", "#7f7f7f")
"""Okabe and Ito's palette, which colour-blind people can distinguish, with a dark grey for its
black; marks and labels differ too."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")
"""The marks as letters, for tables."""
INK, MUTED, GRID, PAPER, FAINT = "#1c2128", "#5b6470", "#e3e6ea", "#ffffff", "#b4bac2"
PHASES = ("#332288", "#88ccee", "#44aa99", "#ddcc77", "#bbbbbb", "#cc6677", "#aa4499")
"""Tol's palette: other colours than those of the arms."""
DARK = {
    INK: "#e6e8eb",
    MUTED: "#9aa4b0",
    GRID: "#30363e",
    PAPER: "#181b20",
    FAINT: "#5b6470",
    "#20262e": "#ffffff",
    "#0072b2": "#3b93d0",
    "#56b4e9": "#8fd0f7",
    "#332288": "#8f86d6",
}
"""What a dark page shows in the place of these colours; all others stay."""


def style_of(number: int | None) -> tuple[str, str]:
    """Colour and mark of the arm with that number; the same in all pictures. None: one of many.

    >>> style_of(0), style_of(8)[0] == style_of(0)[0], style_of(8)[1] == style_of(0)[1]
    (('#0072b2', 'o'), True, False)
    """
    if number is None:
        return FAINT, "."
    return COLORS[number % len(COLORS)], MARKS[_mark(number)]


def sign_of(number: int | None) -> str:
    """The mark of an arm as a letter."""
    return "•" if number is None else SIGNS[_mark(number)]


def dark_css() -> str:
    """The style sheet of a picture on a dark page. The picture itself has the light colours, which
    programs that know no style sheets show too."""
    rules = (
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    return f"@media (prefers-color-scheme:dark){{{''.join(rules)}}}"


def dark_key_css() -> str:
    """The same for the marks of arms in tables, whose colour is that of their text."""
    rules = (f'[style*="color:{a}"]{{color:{b}!important}}' for a, b in DARK.items())
    return f"@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}"


def _mark(number: int) -> int:
    return (number + number // len(COLORS)) % len(MARKS)
