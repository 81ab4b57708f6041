"""The report for a terminal: the ladder, the claims and the notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from preflab import terminal
from preflab_builtin.report.accounts import losses
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.columns import PLACED, Column, columns
from preflab_builtin.report.contents import (
    SAID,
    claimed,
    corrections,
    notices,
    remarks,
    trials,
)
from preflab_builtin.report.report import Report
from preflab_builtin.report.searches import search_findings
from preflab_builtin.report.wording import count, plain, plain_lines, shortened

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LONGEST_NAME = 40
LEAST_STATEMENT = 30
GAP = 2  # between two columns
SHOWN_NOTICES = 8


def report_text(report: Report, out: Path) -> str:
    """The tables, the notes and the failures, as wide as the terminal or wide enough for a file;
    last, what became of the page."""
    from rich.console import Console

    width = terminal.width()
    stream = StringIO()
    console = Console(
        file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False
    )
    if columns(report.arms):
        for table in ladder_tables(report.arms, width):
            console.print(table)
    if report.decisions:
        console.print(claims_table(report.decisions, width))
    for search in report.gathered.searches:
        grid = trials(search)
        console.print(_table(grid.head, grid.rows))
    rest = "in the run folder's manifest.json" if report.unwritten else "on the page"
    lines = [
        *_came_out(report),
        *report.notes,
        *_said(report.arms, rest),
        *remarks(report.decisions),
        *filter(None, [losses(report.arms)]),
    ]
    for failure in report.gathered.failures:
        code = "" if failure.exit_code is None else f" (exit code {failure.exit_code})"
        what = "Waiting" if failure.waits else "No result"
        lines.append(f"{what}: {failure.folder}{code}: {failure.error}")
    # These lines are not wrapped: people copy paths from them.
    tables = (line.rstrip() for line in stream.getvalue().splitlines())
    page = f"Report: {out}"
    if report.unwritten:
        page = f"No page: {out}: {report.unwritten}. preflab report DIR --out FILE writes it there."
    return "\n".join([*tables, *map(plain, lines), page])


def _came_out(report: Report) -> list[str]:
    """What came out, where no table of claims says it; of claims how many have which verdict."""
    if not report.decisions:
        return report.findings
    searched = [line for search in report.gathered.searches for line in search_findings(search)]
    return [report.findings[0], *searched]


def _said(arms: Sequence[Arm], rest: str) -> Iterator[str]:
    """What was said before the first stage: the first line of each, whole. rest: where the other
    lines stand."""
    rows = notices(arms).rows
    for text, _ in rows[:SHOWN_NOTICES]:
        first, *others = text.splitlines()
        more = f" ({count(len(others), 'more line')} {rest})" if others else ""
        yield f"{SAID}: {first}{more}"
    if len(rows) > SHOWN_NOTICES:
        yield f"{SAID}: {len(rows) - SHOWN_NOTICES} more {rest}."


def ladder_tables(arms: Sequence[Arm], width: int) -> list[Table]:
    """The ladder in at most ``width`` characters: one row per arm and, if there are task
    families, a second such table for them. If that is too wide: one column per arm, in as many
    tables as needed."""
    from rich.console import Console

    shown = columns(arms)
    families = [c for c in shown if c.measure.startswith("families/")]
    first = [c for c in shown if c not in families or c.measure == "families/mean"]
    tables = [ladder_table(arms, first)]
    if len(families) > 1:
        tables.append(ladder_table(arms, families))
    console = Console(width=10_000)

    def fits(table: Table) -> bool:
        return console.measure(table).maximum <= width

    if all(map(fits, tables)):
        return tables
    tables, rest = [], list(arms)
    while rest:
        sizes = range(len(rest), 1, -1)
        size = next((n for n in sizes if fits(transposed_table(rest[:n]))), 1)
        tables.append(transposed_table(rest[:size]))
        rest = rest[size:]
    return tables


def ladder_table(arms: Sequence[Arm], shown: Sequence[Column] | None = None) -> Table:
    """One row per arm; shown: all columns if not given."""
    shown = columns(arms) if shown is None else shown
    rows = [
        [_name(arm), str(len(arm.runs)), *(_compact(column, arm) for column in shown)]
        for arm in arms
    ]
    return _table(["arm", "seeds", *map(_heading, shown)], rows)


def transposed_table(arms: Sequence[Arm]) -> Table:
    """The same with one column per arm."""
    rows = [["seeds", *(str(len(arm.runs)) for arm in arms)]]
    for column in columns(arms):
        rows.append([_heading(column).replace("\n", " "), *(_compact(column, arm) for arm in arms)])
    return _table(["", *map(_name, arms)], rows)


def claims_table(decisions: Sequence[Decision], width: int) -> Table:
    """One row per claim: the difference and what it decides. The statement is broken into lines as
    the width asks; where that leaves it too little, the numbers stand below each other."""
    more = corrections(decisions)
    head = ["difference", "95 % interval", "seeds", "verdict", *more.head]
    rows = [
        [*claimed(d), str(d.number_of_seeds), d.verdict.value, *corrected]
        for d, corrected in zip(decisions, more.rows, strict=True)
    ]
    numbers = sum(max(map(len, column)) + GAP for column in zip(head, *rows, strict=True))
    if numbers + LEAST_STATEMENT > width:
        below = ("\n".join(map(": ".join, zip(head, row, strict=True))) for row in rows)
        head, rows = ["what it decides"], [[text] for text in below]
    statements = [d.claim.statement for d in decisions]
    body = [[statement, *row] for statement, row in zip(statements, rows, strict=True)]
    return _table(["claim", *head], body, wrapped=True)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], wrapped: bool = False) -> Table:
    """wrapped: the first column takes as many lines as the width that the others leave makes of
    it. Nothing else is broken."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(
            _cell(heading),
            justify="left" if i == 0 else "right",
            no_wrap=i > 0 or not wrapped,
            vertical="top",
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(text: str) -> Text:
    """A cell in which brackets are not markup."""
    from rich.text import Text

    return Text(plain_lines(text))


def _compact(column: Column, arm: Arm) -> str:
    bounds = column.bounds(arm) if column.interval else ""
    return f"{column.value(arm)}\n{bounds}" if bounds else column.value(arm)


def _name(arm: Arm) -> str:
    """A name that leaves room for numbers; the page has it in full."""
    return shortened(arm.label, LONGEST_NAME)


def _heading(column: Column) -> str:
    """A heading that is understood by itself: with that of its group where needed."""
    kind, _, part = column.measure.partition("/")
    if kind == "win_rate":
        return f"{column.group.replace('Win rate against', 'win vs')}\n({part})"
    above = {
        "likert": "Likert",
        "families": "tasks",
        "reward_accuracy": "pairs right",
        "document_loss": "text",
    }
    group = above.get(kind, "" if kind in PLACED else column.group.lower())
    return f"{group}\n{column.heading}" if group else column.heading
