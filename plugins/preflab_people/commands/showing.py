"""``preflab label status``: how far a round is, whether its people agree, and what it will decide,
without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import terminal
from preflab_people.agreeing import asked_of
from preflab_people.commands.parsing import Parser
from preflab_people.opening import open_store
from preflab_people.rounds import Round, open_round
from preflab_people.store import Progress, Snapshot
from preflab_people.waiting import counted, go_on, how_far

if TYPE_CHECKING:
    from preflab_people.statistics.planning import Plan

WRITING_SECONDS = 300.0
"""A demonstration, until people have shown how long it takes them."""


def status(words: list[str]) -> int:
    """How far a round is: done and wanted, agreement with intervals and what it means, each
    person's count, pace, gold score and habits, hours left, and what this much labeling decides."""
    parser = Parser("label status", status.__doc__)
    parser.name()
    parser.add_argument("--definitions", action="store_true", help="what each number means")
    options = parser.parse(words)
    folder, made = open_round(options.name)
    with open_store(folder, made) as store:
        progress, snapshot = store.progress(), store.snapshot()
    for line in _head(options.name, folder, made, progress):
        print(line)
    _tables(made, snapshot)
    for line in _below(options.name, made, progress, snapshot):
        print(line)
    if options.definitions:
        from preflab_people.statistics.agreement import report
        from preflab_people.statistics.summary import definitions

        print("\n".join(definitions(report(asked_of(snapshot)))))
    elif made.kind != "demonstrate":
        print(f"What the numbers mean: preflab label status {options.name} --definitions")
    return 0


def _head(name: str, folder: Path, made: Round, progress: Progress) -> Iterator[str]:
    said = how_far(progress, made.kind)
    yield f"{folder}: {said}{'; closed' if progress.closed else ''}."
    if made.frozen:
        yield f"Frozen: {folder / made.frozen}. Go on: {go_on(name, made)}"
    elif progress.open == 0:
        yield f"Nothing is open any more: preflab label close {name}"
    waits = [member.person.id for member in progress.people if member.waits]
    if waits:
        yield (
            f"Their screening is over, and you decide: {', '.join(waits)} (preflab label state "
            f"{name} LABELER active, or removed)."
        )
    if progress.aside:
        yield (
            f"{progress.aside} tasks were skipped by so many that nobody else gets them; "
            f"{progress.aside_wanted} judgments will not be given."
        )


def _tables(made: Round, snapshot: Snapshot) -> None:
    from rich.console import Console

    from preflab_people.statistics.summary import people_table, status_tables

    asked = asked_of(snapshot)
    if made.kind == "demonstrate":
        from preflab_people.statistics.quality import records

        tables: list[Any] = [people_table(records(asked))]
    else:
        tables = list(status_tables(asked))
    if made.kind == "compare":
        tables.append(_win_rates(snapshot))
    console = Console(width=terminal.width())
    for table in tables:
        if table.row_count:
            console.print(table)


def _win_rates(snapshot: Snapshot) -> Any:
    """A row for each pair of runs."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from preflab_people.statistics.comparison import win_rates

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "preferred to", "win rate", "95 %", "prompts", "people", "longer by"):
        table.add_column(heading)
    for rate in win_rates(asked_of(snapshot).answered()):
        measure = rate.about_people
        if measure.value == measure.value:
            ends = f"[{100 * measure.low:.0f}, {100 * measure.high:.0f}]"
            cells = (
                *(rate.arm, rate.versus, f"{100 * measure.value:.1f} %"),
                *(ends.replace("[nan, nan]", "–"), str(measure.n), str(rate.labelers)),
                _longer(rate.length_gap.value),
            )
            table.add_row(*map(Text, cells))
    return table


def _longer(gap: float) -> str:
    """A mean difference of lengths.

    >>> _longer(-0.4), _longer(1.2), _longer(-7.0)
    ('0 characters', '+1 character', '-7 characters')
    """
    rounded = round(gap)
    return (
        f"{rounded:+d} character{'' if abs(rounded) == 1 else 's'}" if rounded else "0 characters"
    )


def _below(name: str, made: Round, progress: Progress, snapshot: Snapshot) -> Iterator[str]:
    from preflab_people.statistics.progress import needing_others
    from preflab_people.statistics.progress import progress as pace_of
    from preflab_people.statistics.summary import status_lines

    asked = asked_of(snapshot)
    yield from status_lines(asked)
    paces = pace_of(asked)
    fast = [f"{name} {pace.per_hour:.0f}" for name, pace in paces.pace.items() if pace.judged]
    if fast:
        yield f"Tasks an hour: {', '.join(fast)}."
    if progress.done and not progress.connected:
        yield f"People are in {progress.parts} parts that share no task: they cannot be compared."
    elif progress.fewest_partners and made.kind != "demonstrate":
        yield (
            "All people are connected by shared tasks; everybody shares some with at least "
            f"{counted(progress.fewest_partners, 'other')}."
        )
    elif progress.done and made.kind != "demonstrate":
        yield "One person has judged so far: there is nobody to compare them with."
    missing = needing_others(asked, snapshot.settings.skip_limit)
    if missing and not progress.closed:
        need = "needs" if missing == 1 else "need"
        yield (
            f"{counted(missing, 'open judgment')} {need} another person, because all who are here "
            f"have judged or skipped the task: preflab label invite {name}"
        )
    if made.kind != "demonstrate":
        seconds = paces.seconds if paces.seconds == paces.seconds else None
        yield f"In all: {decides(snapshot, seconds).sentence(made.kind)}."


def decides(snapshot: Snapshot, seconds: float | None = None) -> Plan:
    """What the whole of a round costs and decides. seconds: a judgment so far."""
    from preflab_people.statistics.planning import SECONDS, plan

    normal = [task for task in snapshot.tasks if task.origin == "normal"]
    number = max(1, len({task.prompt.id for task in normal}))
    wanted = sum(task.want for task in normal)
    responses = max((len(set(task.responses)) for task in normal), default=2)
    return plan(number, max(1.0, wanted / number), seconds or SECONDS, max(2, responses))


def plan_line(made: Round, snapshot: Snapshot) -> str:
    """What labeling will cost and decide, before it begins."""
    if made.kind == "demonstrate":
        number = sum(task.origin == "normal" for task in snapshot.tasks)
        hours = number * WRITING_SECONDS / 3600
        return f"{number} texts to write, 5 min each: {hours:.3g} h of people"
    return decides(snapshot).sentence(made.kind)
