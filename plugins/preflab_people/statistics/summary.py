"""The statistics of a round as values (agreement.json of a frozen round) and as tables for a
terminal (`preflab label status`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from preflab.interfaces import Measure
from preflab.storage.durable import json_number
from preflab_people.statistics.agreement import Agreement, AgreementReport, report
from preflab_people.statistics.planning import Plan
from preflab_people.statistics.position import EARLIER, earlier_preferred
from preflab_people.statistics.progress import PARTNERS, overlap, progress
from preflab_people.statistics.quality import DEFINITIONS, PersonRecord, records
from preflab_people.statistics.votes import Round

if TYPE_CHECKING:
    from rich.table import Table

_NAMES = {
    "both_sides": "both take a side",
    "ties_half": "ties half",
    "alpha": "alpha",
    "positive": "positive agreement",
}

_COLUMNS = {
    "median_seconds": "median",
    "agreement": "agrees",
    "retest": "retest",
    "gold": "gold",
    "ties": "ties",
    "earlier": "earlier",
    "same_pattern": "one pattern",
}
"""Headings of the table of people, by the name in `DEFINITIONS`."""


def agreement_values(asked: Round) -> dict[str, Any]:
    """What agreement.json holds: every agreement with its definition and both intervals, and the
    bias of position."""
    found = report(asked)
    return {
        "ranking": _all(found.ranking),
        "held_out": _all(found.held_out),
        "within_groups": {name: _all(some) for name, some in found.within.items()},
        "between_groups": _all(found.between),
        "likert": _all(found.likert),
        "flags": {name: _all(some) for name, some in found.flags.items()},
        "position": {"definition": EARLIER, **_interval(earlier_preferred(asked.answered()))},
    }


def status_tables(asked: Round) -> list[Table]:
    """What `preflab label status` shows: agreement, then people."""
    return [agreement_table(report(asked)), people_table(records(asked))]


def status_lines(asked: Round) -> list[str]:
    """The sentences below the tables: progress, time, overlap, what to look at, definitions."""
    done, shared = progress(asked), overlap(asked)
    active = sum(1 for pace in done.pace.values() if pace.judged)
    lines = [f"{done.done} of {done.wanted} judgments, {done.skipped} skipped, {done.open} open."]
    if done.open and math.isfinite(done.hours_left):
        left, each = _hours(done.hours_left), _hours(done.hours_left / max(active, 1))
        share = f", {each} for each of {active}" if active > 1 else ""
        lines.append(f"At {done.seconds:.0f} s a judgment, {left} of people are left{share}.")
    if shared.partners and not shared.enough:
        alone = [name for name, n in shared.partners.items() if n < min(PARTNERS, active - 1)]
        lines.append(
            f"{shared.parts} sets of people share no prompts with each other"
            if shared.parts > 1
            else f"Few people share prompts with {', '.join(sorted(alone))}"
        )
        lines[-1] += ": give more prompts to two people, or people cannot be compared."
    for record in records(asked):
        lines += [f"{record.labeler} {remark}." for remark in record.remarks]
    return lines


def agreement_table(found: AgreementReport) -> Table:
    """A row for each agreement: its value, and its intervals about prompts and about people."""
    rows: list[list[str]] = []
    sets: list[tuple[str, Sequence[Agreement]]] = [
        ("people", found.ranking),
        ("held-out people", found.held_out),
        *((f"within {name}", some) for name, some in found.within.items()),
        ("between groups", found.between),
        ("ratings 1 to 7", found.likert),
        *((f"flag {name}", some) for name, some in found.flags.items()),
    ]
    for title, some in sets:
        for i, one in enumerate(a for a in some if math.isfinite(a.measure.value)):
            rows.append(
                [
                    title if i == 0 else "",
                    _NAMES[one.name],
                    _number(one.measure.value, one.name),
                    _ends(one.measure, one.name),
                    _ends(one.with_people, one.name),
                    str(one.measure.n),
                    str(one.with_people.n),
                ]
            )
    headings = ["agreement", "", "value", "95 %, prompts", "95 %, people too", "prompts", "people"]
    return _table(headings, rows, left=2)


def people_table(found: Sequence[PersonRecord]) -> Table:
    """A row for each person."""
    rows = [
        [
            one.labeler,
            one.group + (" (held out)" if one.held_out else ""),
            str(one.judged),
            str(sum(one.skips.values())),
            _seconds(one.median_seconds),
            *(_percent(m) for m in (one.agreement, one.retest, one.gold, one.ties, one.earlier)),
            _number(one.same_pattern, "share"),
        ]
        for one in found
    ]
    headings = ["labeler", "group", "judged", "skipped", "median", "agrees", "retest", "gold"]
    return _table([*headings, "ties", "earlier", "one pattern"], rows, left=2)


def planning_table(plans: Sequence[Plan]) -> Table:
    """A row for each plan: what it costs and what it decides."""
    rows = [
        [
            str(one.tasks),
            f"{one.overlap:.3g}",
            f"{one.seconds:.0f} s",
            _hours(one.hours),
            f"±{100 * one.half_width:.1f}",
            f"{100 * (0.5 + one.finds):.1f} %",
            f"±{100 * one.agreement:.1f}" if math.isfinite(one.agreement) else "–",
        ]
        for one in plans
    ]
    headings = ["tasks", "labels each", "a label", "people", "win rate, points", "finds"]
    return _table([*headings, "agreement, points"], rows, left=0)


def definitions(found: AgreementReport) -> list[str]:
    """What the numbers of the tables mean, a sentence each."""
    sentences = [f"{_NAMES[one.name]}: {one.definition}" for one in found.ranking]
    return [*sentences, *(f"{_COLUMNS[name]}: {DEFINITIONS[name]}" for name in _COLUMNS)]


def _all(some: Sequence[Agreement]) -> dict[str, Mapping[str, Any]]:
    return {one.name: _agreement(one) for one in some}


def _agreement(one: Agreement) -> dict[str, Any]:
    people = _interval(one.with_people)
    return {
        "definition": one.definition,
        **_interval(one.measure),
        "low_with_people": people["low"],
        "high_with_people": people["high"],
        "people": one.with_people.n,
        "pairs": one.pairs,
    }


def _interval(measure: Measure) -> dict[str, Any]:
    return {
        "value": json_number(measure.value),
        "low": json_number(measure.low),
        "high": json_number(measure.high),
        "n": measure.n,
    }


def _number(value: float, name: str) -> str:
    """A share in percent, alpha as it is."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f}" if name == "alpha" else f"{100 * value:.0f} %"


def _ends(measure: Measure, name: str) -> str:
    if not math.isfinite(measure.low):
        return "–"
    if name == "alpha":
        return f"[{measure.low:.2f}, {measure.high:.2f}]"
    return f"[{100 * measure.low:.0f}, {100 * measure.high:.0f}]"


def _percent(measure: Measure) -> str:
    return f"{_number(measure.value, 'share')} {_ends(measure, 'share')}".replace(" –", "")


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if math.isfinite(value) else "–"


def _hours(value: float) -> str:
    return f"{value:.3g} h"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if i < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as text, so that brackets are not markup
    return table
