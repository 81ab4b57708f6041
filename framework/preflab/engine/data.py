"""The records of a run: sources by record type, filters in order, counts of what was kept and
dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import PluginError, UserError
from preflab.interfaces import DataSource, Filter, LeavesOut
from preflab.records import SPLITS, Record, RecordType, Split


class Records:
    """Reads each record type once, from the source that the run names for it, through the filters.

    sources: the source of each record type; a type without one has no records. filters: by name, in
    order.
    """

    def __init__(self, sources: Mapping[str, DataSource], filters: Mapping[str, Filter]) -> None:
        self._sources, self._filters = sources, filters
        self._filtered: dict[str, list[Record]] = {}
        self.counts: dict[str, dict[str, Any]] = {}
        """By record type: total, dropped by filter and reason, kept by split, where kept + dropped
        = total, always; and what the source itself left out, by reason."""

    def split(self, record_type: RecordType, split: Split) -> Sequence[Record]:
        """The records of a type and split; `UserError` if the run has no such records at all."""
        if record_type not in self._filtered:
            self._read(record_type)
        records = [record for record in self._filtered[record_type] if record.split == split]
        if not records and split == "train":
            counts = self._explain(record_type)
            raise UserError(f"There are no {record_type} left to train on: {counts}")
        return records

    def notices(self) -> list[str]:
        """Sentences on what the filters did to the records read so far that a person should read
        before the first stage."""
        return []

    def _read(self, record_type: RecordType) -> None:
        source = self._sources.get(record_type)
        if source is None:
            raise UserError(
                f"This run has no {record_type}. Name a source: "
                f"data=... or {record_type}=files {record_type}.path=..."
            )
        records = list(source.records(record_type))
        total, all_dropped = len(records), dict[str, int]()
        for name, apply in self._filters.items():
            before = len(records)
            records, dropped = apply(records)
            if len(records) + sum(dropped.values()) != before:
                raise PluginError(
                    f"The filter {name} was given {before} {record_type}, kept {len(records)} and "
                    f"reports {sum(dropped.values())} dropped: the numbers do not add up."
                )
            all_dropped |= {f"{name}: {reason}": n for reason, n in dropped.items() if n}
        self._check_splits(record_type, records)
        left_out = source.left_out(record_type) if isinstance(source, LeavesOut) else {}
        self.counts[record_type] = {
            "total": total,
            "dropped": all_dropped,
            "left out by the source": dict(left_out),
            "kept": {split: sum(r.split == split for r in records) for split in SPLITS},
        }
        self._filtered[record_type] = records

    def _check_splits(self, record_type: RecordType, records: Sequence[Record]) -> None:
        unknown = next((r.split for r in records if r.split not in SPLITS), None)
        if unknown is not None:
            raise UserError(
                f"{record_type} have the split {unknown!r}. Allowed: {', '.join(SPLITS)}. "
                "Assign one with a filter: filters=standard (by user) or filters=by_group."
            )

    def _explain(self, record_type: RecordType) -> str:
        counts = self.counts[record_type]
        dropped = ", ".join(f"{reason} {n}" for reason, n in counts["dropped"].items())
        return f"{counts['total']} read, {dropped or 'nothing dropped'}, kept {counts['kept']}."
