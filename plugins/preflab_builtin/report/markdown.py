"""The report as Markdown, for a notebook or a pull request: everything that the page has, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from preflab_builtin.report import contents
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.contents import Card, Grid
from preflab_builtin.report.plots import Picture
from preflab_builtin.report.tables import columns, plain, remarks

if TYPE_CHECKING:
    from preflab_builtin.report.build import Report


def markdown(report: Report) -> str:
    """The whole file."""
    parts = [
        f"# {safe(report.title)}",
        f"Made with: {safe(report.command)}",
        *map(safe, report.notes),
    ]
    parts += _section("Jobs without a result", contents.failures(report.gathered.failures))
    for study in report.studies:
        parts += _section(
            f"Claims of {study.declared.title or study.name}", contents.claims(study.decisions)
        )
        parts += map(safe, remarks(study.decisions))
    if columns(report.arms):
        parts += ["## Results", ladder_markdown(report.arms)]
    for heading, found in report.figures.items():
        parts += [f"## {safe(heading)}", *map(_picture, found)]
    cards = contents.side_by_side(report.arms)
    parts += (
        ["## Responses side by side", *(part for card in cards for part in _card(card))]
        if cards
        else []
    )
    parts += _section("All measures", contents.measures(report.arms))
    parts += _section(
        "Rows and tokens: read, kept, left out, cut", contents.accounting(report.arms)
    )
    if report.costs:
        parts += [
            *_section("Cost", contents.costs(report.costs)),
            safe(contents.costs_in_all(report.costs)),
        ]
    parts += _section("What was run", contents.overrides(report.arms))
    parts += _section("Config differences", contents.differences(report.arms))
    return "\n\n".join(parts) + "\n"


def ladder_markdown(arms: Sequence[Arm]) -> str:
    """The ladder: one row an arm, values with their intervals."""
    shown = columns(arms)
    head = ("arm", "seeds", *(f"{c.group}: {c.heading}" for c in shown))
    rows = [
        (arm.label, str(len(arm.runs)), *(f"{c.value(arm)} {c.bounds(arm)}".strip() for c in shown))
        for arm in arms
    ]
    return table(Grid(head, tuple(rows)))


def table(grid: Grid) -> str:
    """A table whose cells cannot end it."""
    lines = [
        _row(map(cell, grid.head)),
        _row(["---"] * len(grid.head)),
        *(_row(map(cell, row)) for row in grid.rows),
    ]
    return "\n".join(lines)


def safe(text: str) -> str:
    """Text on one line in which Markdown and HTML mean nothing.

    >>> safe("<b>|a|</b> &lt;")
    '\\\\<b\\\\>\\\\|a\\\\|\\\\</b\\\\> \\\\&lt;'
    """
    return re.sub(r"([\\|`*_<>\[\]&~])", r"\\\1", plain(text))


def cell(text: str) -> str:
    """Text in a table, where lines are told apart by the only tag that this file has."""
    return "<br>".join(safe(line) for line in text.split("\n"))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _section(heading: str, grid: Grid) -> list[str]:
    return [f"## {safe(heading)}", table(grid)] if grid.rows else []


def _picture(picture: Picture) -> str:
    said = " ".join(
        part
        for part in (picture.alt, picture.caption, picture.behind, f"Made with: {picture.command}")
        if part
    )
    return f"**{safe(picture.title)}.** {safe(said)}"


def _card(card: Card) -> list[str]:
    rows = [
        ("prompt", card.prompt, ""),
        *((answer.who, answer.text or "(empty)", answer.facts) for answer in card.answers),
    ]
    return [f"### {safe(card.heading)}", table(Grid(("who", "text", "values"), tuple(rows)))]
