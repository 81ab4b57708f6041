"""Records through the filters in order: what is kept, and what each filter leaves out and why."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

from preflab.errors import EXAMPLES, PluginError
from preflab.filtering import Remarking, RowByRow, Selection, Sieve, excerpt, in_split
from preflab.interfaces import Filter
from preflab.records import Record


@dataclass
class Losses:
    """What the filters left out: how many by "filter: reason", some of them as ``file:line: text``,
    and what the filters remark."""

    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, place: str, record: Record) -> None:
        """One more record is left out."""
        self.dropped[place] = self.dropped.get(place, 0) + 1
        self.show(place, record)

    def show(self, place: str, record: Record) -> None:
        """Keep a record as an example, if there are too few."""
        shown = self.examples.setdefault(place, [])
        if len(shown) < EXAMPLES:
            shown.append(excerpt(record))


def sift(
    records: Sequence[Record],
    filters: Mapping[str, Filter],
    record_type: str,
    see: Callable[[Record], None],
) -> tuple[Sequence[Record], Losses]:
    """The records that all filters keep. Filters that judge row by row share one pass. see: is
    shown each record that is kept in the end, in order."""
    losses = Losses()
    groups = [list(group) for _, group in groupby(filters.items(), _by_row)]
    for group in groups or [[]]:
        last = not groups or group is groups[-1]
        if group and not _by_row(group[0]):
            for name, apply in group:
                records = _whole(records, name, apply, record_type, losses)
            if last:
                records = _one_pass(records, {}, losses, see)
        else:
            sieves = {name: cast(RowByRow, apply).sieve() for name, apply in group}
            records = _one_pass(records, sieves, losses, see if last else _ignore)
    return records, losses


def _by_row(named: tuple[str, Filter]) -> bool:
    return isinstance(named[1], RowByRow)


def _ignore(record: Record) -> None:
    """Nobody looks."""


def _one_pass(
    records: Sequence[Record],
    sieves: Mapping[str, Sieve],
    losses: Losses,
    see: Callable[[Record], None],
) -> Sequence[Record]:
    """Records through the sieves. Those in memory are kept as they are, of others only their
    numbers and splits."""
    in_memory = isinstance(records, (list, tuple))
    kept: list[Record] = []
    rows, splits = array("q"), list[str]()
    for row, record in enumerate(records):
        passed = _through(record, sieves, losses)
        if passed is None:
            continue
        see(passed)
        if in_memory:
            kept.append(passed)
        else:
            rows.append(row)
            splits.append(passed.split)
    for name, sieve in sieves.items():
        if isinstance(sieve, Remarking):
            losses.remarks += [f"filters.{name}: {remark}" for remark in sieve.remarks()]
    return kept if in_memory else Selection(records, rows, splits)


def _through(record: Record, sieves: Mapping[str, Sieve], losses: Losses) -> Record | None:
    for name, sieve in sieves.items():
        verdict: Any = sieve(record)
        if isinstance(verdict, str):
            losses.add(f"{name}: {verdict}", record)
            return None
        if not isinstance(verdict, Record):
            raise PluginError(
                f"The sieve of the filter {name} gave back {verdict!r}: neither a record nor the "
                "reason for leaving it out."
            )
        record = verdict
    return record


def _whole(
    records: Sequence[Record], name: str, apply: Filter, record_type: str, losses: Losses
) -> Sequence[Record]:
    """Records through a filter that wants all of them at once."""
    kept, dropped = apply(records)
    if len(kept) + sum(dropped.values()) != len(records):
        raise PluginError(
            f"The filter {name} was given {len(records)} {record_type}, kept {len(kept)} and "
            f"reports {sum(dropped.values())} dropped: the numbers do not add up."
        )
    reasons = [reason for reason, n in dropped.items() if n]
    losses.dropped |= {f"{name}: {reason}": dropped[reason] for reason in reasons}
    if reasons:
        # Which record was left out for which of several reasons is not known.
        place = f"{name}: {reasons[0] if len(reasons) == 1 else ' or '.join(reasons)}"
        for record, _ in zip(_missing(records, kept), range(EXAMPLES), strict=False):
            losses.show(place, record)
    return kept


def _missing(records: Sequence[Record], kept: Sequence[Record]) -> Iterator[Record]:
    """The records that are not among those kept, which are in the same order."""
    waiting = iter(kept)
    following = next(waiting, None)
    for record in records:
        if following is not None and in_split(record, following.split) == following:
            following = next(waiting, None)
        else:
            yield record
