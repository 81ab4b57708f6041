"""The report as Markdown, for a notebook or a pull request: all of the page's content in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from preflab_builtin.report import contents
from preflab_builtin.report.accounts import losses
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.columns import columns
from preflab_builtin.report.contents import Card, Grid
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.report import Report
from preflab_builtin.report.wording import plain


def markdown(report: Report) -> str:
    """The whole file."""
    parts = [
        f"# {safe(report.title)}",
        f"Made with: {safe('; '.join(report.commands))}",
        *map(safe, report.findings),
        *map(safe, report.notes),
        *_section("Jobs without a result", contents.failures(report.gathered.failures)),
        *_section(contents.SAID, contents.notices(report.arms)),
    ]
    for study in report.studies:
        parts += _section(f"Claims of {study.title}", contents.claims(study.decisions))
        parts += map(safe, contents.remarks(study.decisions))
    for search in report.gathered.searches:
        parts += _section(f"Trials for {search.objective}", contents.trials(search))
    if columns(report.arms):
        parts += ["## Results", ladder_markdown(report.arms)]
    parts += filter(None, [safe(losses(report.arms))])
    for heading, pictures in report.figures.items():
        parts += [f"## {safe(heading)}", *map(_picture, pictures)]
    cards = contents.side_by_side(report.arms)
    if cards:
        parts += ["## Responses side by side", *(part for card in cards for part in _card(card))]
    for heading, grid in contents.shown_examples(report.arms):
        parts += _section(heading, grid)
    accounting = "Rows and tokens: read, kept, left out, cut"
    parts += _section("All measures", contents.measures(report.arms))
    parts += _section(accounting, contents.accounting(report.arms))
    if report.costs:
        parts += _section("Cost", contents.costs(report.costs))
        parts += [safe(contents.costs_in_all(report.costs))]
    parts += _section("What was run", contents.overrides(report.arms))
    parts += _section("Config differences", contents.differences(report.arms))
    return "\n\n".join(parts) + "\n"


def ladder_markdown(arms: Sequence[Arm]) -> str:
    """The ladder: one row per arm, values with their intervals."""
    shown = columns(arms)
    head = ("arm", "seeds", *(f"{c.group}: {c.heading}" for c in shown))
    rows = (
        (arm.label, str(len(arm.runs)), *(f"{c.value(arm)} {c.bounds(arm)}".strip() for c in shown))
        for arm in arms
    )
    return table(Grid(head, tuple(rows)))


def table(grid: Grid) -> str:
    """A table whose cells cannot end it."""
    rows = (grid.head, *grid.rows)
    head, *body = (_row(map(cell, row)) for row in rows)
    return "\n".join([head, _row(["---"] * len(grid.head)), *body])


def safe(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML.

    >>> safe("<b>|a|</b> &lt;")
    '\\\\<b\\\\>\\\\|a\\\\|\\\\</b\\\\> \\\\&lt;'
    """
    return re.sub(r"([\\|`*_<>\[\]&~])", r"\\\1", plain(text))


def cell(text: str) -> str:
    """Text in a table, whose lines are separated by the only tag that this file has."""
    return "<br>".join(map(safe, text.split("\n")))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _section(heading: str, grid: Grid) -> list[str]:
    return [f"## {safe(heading)}", table(grid)] if grid.rows else []


def _picture(picture: Picture) -> str:
    text = " ".join(filter(None, [picture.alt, picture.caption, picture.behind]))
    return f"**{safe(picture.title)}.** {safe(text)}"


def _card(card: Card) -> list[str]:
    answers = ((answer.who, answer.text or "(empty)", answer.facts) for answer in card.answers)
    rows = (("prompt", card.prompt, ""), *answers)
    return [f"### {safe(card.heading)}", table(Grid(("who", "text", "values"), rows))]
