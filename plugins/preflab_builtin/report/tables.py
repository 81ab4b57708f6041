"""The ladder table: which measures are columns, in which order, how numbers are written; and the ladder for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preflab_builtin.report.arms import SHARES, Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.runs import Measured

if TYPE_CHECKING:
    from rich.table import Table

NOTHING = "–"
LONGEST_NAME = 40
_LEFT_OUT = ("gold/gain", "gold/win")
"""Measures that the table has in another form."""
_PLACED = {
    "reward",
    "gold",
    "win_rate",
    "likert",
    "flags",
    "kl",
    "length",
    "families",
    "document_loss",
    "reward_accuracy",
    "best_of",
}
"""First words of measures whose columns are chosen here, or which a picture shows; all others are columns as they are."""


@dataclass(frozen=True)
class Column:
    """A measure as a column. group: the heading above several; interval: shown in narrow places too."""

    measure: str
    heading: str
    group: str
    percent: bool = False
    digits: int = 2
    interval: bool = False

    def of(self, arm: Arm) -> Measured | None:
        """The arm's measure."""
        return arm.measures.get(self.measure)

    def value(self, arm: Arm) -> str:
        """The number as text."""
        measured = self.of(arm)
        if measured is None:
            return NOTHING
        return (
            f"{100 * measured.value:.1f} %" if self.percent else f"{measured.value:.{self.digits}f}"
        )

    def bounds(self, arm: Arm) -> str:
        """The interval as text, "" if there is none."""
        measured = self.of(arm)
        if measured is None or measured.low is None or measured.high is None:
            return ""
        if self.percent:
            return f"[{100 * measured.low:.1f}, {100 * measured.high:.1f}]"
        return f"[{measured.low:.{self.digits}f}, {measured.high:.{self.digits}f}]"


class KLColumn(Column):
    """KL to the reference; for best-of-n its analytic bound, marked by a sign."""

    def of(self, arm: Arm) -> Measured | None:
        return arm.measures.get("kl/reference") or arm.measures.get("kl/bound")

    def value(self, arm: Arm) -> str:
        return (
            super().value(arm)
            if "kl/reference" in arm.measures or not self.of(arm)
            else f"≤ {super().value(arm)}"
        )

    def bounds(self, arm: Arm) -> str:
        return super().bounds(arm) if "kl/reference" in arm.measures else ""


def columns(arms: Sequence[Arm]) -> list[Column]:
    """Columns for what the arms have measured: reward, gold, win rate, drift, alignment tax, reward model."""
    names = list(
        dict.fromkeys(name for arm in arms for name in arm.measures if name not in _LEFT_OUT)
    )
    baselines = sorted({run.baseline for arm in arms for run in arm.runs if run.baseline})
    against = f"against {titled(baselines[0])}" if len(baselines) == 1 else "against the baseline"
    found = [
        Column(n, _last(n) if n != "reward/proxy" else "proxy reward", "Reward model says")
        for n in _of(names, "reward/")
    ]
    gold = [
        Column(n, _last(n), "True utility (simulated)", interval=n == "gold/gold")
        for n in _of(names, "gold/")
    ]
    found += sorted(gold, key=lambda column: column.measure != "gold/gold")
    wins = _of(names, "win_rate/")
    found += [
        Column(n, f"judge: {_last(n)}", f"Win rate {against}", percent=True, interval=True)
        for n in wins
    ]
    found += [Column(n, _last(n), "Likert, 1 to 7") for n in _of(names, "likert/")]
    found += [
        Column(n, _last(n).replace("_", " "), "Flags", percent=True) for n in _of(names, "flags/")
    ]
    if {"kl/reference", "kl/bound"} & set(names):
        found.append(KLColumn("kl/reference", "KL, nats", "Drift"))
    found += [Column(n, "length", "Drift", digits=1) for n in names if n == "length/tokens"]
    found += [Column(n, "ended", "Drift", percent=True) for n in names if n == "length/terminated"]
    families = sorted(_of(names, "families/"), key=lambda name: (name != "families/mean", name))
    tax = "Accuracy on pretraining tasks"
    found += [
        Column(n, "mean" if n == "families/mean" else _last(n), tax, percent=True) for n in families
    ]
    found += [
        Column(n, "loss", "Held-out text", digits=3) for n in names if n == "document_loss/all"
    ]
    for name in _of(names, "reward_accuracy/"):
        label, _, part = name.removeprefix("reward_accuracy/").partition("/")
        if part in ("all", "length"):
            found.append(
                Column(
                    name,
                    f"{label}" if part == "all" else "longer wins",
                    "Pairs ordered right",
                    percent=True,
                )
            )
    # LABEL/PREFIX/METRIC/GROUP of a test set: its groups stand in the table of all measures.
    others = [
        name for name in names if name.partition("/")[0] not in _PLACED and name.count("/") <= 2
    ]
    return found + [
        Column(n, _last(n).replace("_", " "), _first(n), percent=n.startswith(SHARES), digits=3)
        for n in others
    ]


def ladder_tables(arms: Sequence[Arm], width: int) -> list[Table]:
    """The ladder in at most ``width`` characters: one row an arm and, if there are families, a second such table for them;
    where that is too wide, one column an arm, in several tables if need be."""
    from rich.console import Console

    shown = columns(arms)
    families = [c for c in shown if c.measure.startswith("families/")]
    first = [c for c in shown if c not in families or c.measure == "families/mean"]
    tables = [
        ladder_table(arms, first),
        *([ladder_table(arms, families)] if len(families) > 1 else []),
    ]
    console = Console(width=10_000)
    if all(console.measure(t).maximum <= width for t in tables):
        return tables
    tables, rest = [], list(arms)
    while rest:  # as many arms below one another as fit beside one another
        count = next(
            n
            for n in range(len(rest), 0, -1)
            if n == 1 or console.measure(transposed_table(rest[:n])).maximum <= width
        )
        tables.append(transposed_table(rest[:count]))
        rest = rest[count:]
    return tables


def ladder_table(arms: Sequence[Arm], shown: Sequence[Column] | None = None) -> Table:
    """One row an arm, for a terminal; shown: all columns if not given. Brackets in names are no markup."""
    shown = columns(arms) if shown is None else shown
    table = _table(["arm", "seeds", *(_heading(c) for c in shown)])
    for arm in arms:
        table.add_row(
            *map(_cell, [_short(arm.label), str(len(arm.runs)), *(_compact(c, arm) for c in shown)])
        )
    return table


def transposed_table(arms: Sequence[Arm]) -> Table:
    """The same with one column an arm."""
    table = _table(["", *(_short(arm.label) for arm in arms)])
    table.add_row(*map(_cell, ["seeds", *(str(len(arm.runs)) for arm in arms)]))
    for column in columns(arms):
        table.add_row(
            *map(
                _cell,
                [_heading(column).replace("\n", " "), *(_compact(column, arm) for arm in arms)],
            )
        )
    return table


def claims_table(decisions: Sequence[Decision]) -> Table:
    """One row a claim: what was found and what it decides."""
    table = _table(["claim", "difference", "95 % interval", "seeds", "verdict"])
    for d in decisions:
        estimate, interval = claimed(d)
        table.add_row(
            *map(_cell, [d.claim.statement, estimate, interval, str(len(d.seeds)), d.verdict.value])
        )
    return table


def claimed(decision: Decision) -> tuple[str, str]:
    """A claim's difference and its interval as text; why there is none."""
    found = decision.estimate
    percent = decision.claim.measure.startswith(("families/", "win_rate/", "reward_accuracy/"))
    scale, digits, unit = (100.0, 1, " points") if percent else (1.0, 3, "")
    if found is None:
        return NOTHING, decision.why
    if found.low is None or found.high is None:
        return f"{scale * found.value:+.{digits}f}{unit}", decision.why
    return (
        f"{scale * found.value:+.{digits}f}{unit}",
        f"[{scale * found.low:+.{digits}f}, {scale * found.high:+.{digits}f}]",
    )


def remarks(decisions: Sequence[Decision]) -> list[str]:
    """What to know of decisions that have an interval: seeds left out, a curve read beyond its end."""
    return [
        f"{d.claim.statement}: {d.why}."
        for d in decisions
        if d.why and d.estimate is not None and d.estimate.low is not None
    ]


def plain(text: str) -> str:
    """Text on one line without control characters: what a file says cannot move the cursor or end a table."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text)


def _table(headings: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(
            _cell(heading), justify="left" if i == 0 else "right", no_wrap=True, vertical="top"
        )
    return table


def _cell(text: str) -> Any:
    from rich.text import Text

    return Text("\n".join(plain(line) for line in text.split("\n")))


def _compact(column: Column, arm: Arm) -> str:
    bounds = column.bounds(arm) if column.interval else ""
    return f"{column.value(arm)}\n{bounds}" if bounds else column.value(arm)


def _short(label: str) -> str:
    """A name that leaves room for numbers; the page has it in full."""
    return label if len(label) <= LONGEST_NAME else f"{label[: LONGEST_NAME - 1]}…"


def _heading(column: Column) -> str:
    """A heading that stands alone: with what its group says, where that is needed."""
    kind, _, part = column.measure.partition("/")
    if kind == "win_rate":
        return f"{column.group.replace('Win rate against', 'win vs')}\n({part})"
    if kind == "likert":
        return f"Likert\n{column.heading}"
    if kind == "families":
        return f"tasks\n{column.heading}"
    if kind == "reward_accuracy":
        return f"pairs right\n{column.heading}"
    if kind == "document_loss":
        return f"text\n{column.heading}"
    return column.heading if kind in _PLACED else f"{column.group.lower()}\n{column.heading}"


def _of(names: Sequence[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def _last(name: str) -> str:
    return name.partition("/")[2]


def _first(name: str) -> str:
    return name.partition("/")[0].replace("_", " ").capitalize()


def titled(role: str) -> str:
    """A role as a name: SFT is an abbreviation."""
    return role.upper() if role == "sft" else role
