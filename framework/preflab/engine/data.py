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

    sources: the source of each record type (types without one are absent). filters: by name, in
    order.
    """

    def __init__(self, sources: Mapping[str, DataSource], filters: Mapping[str, Filter]) -> None:
        self._sources, self._filters = sources, filters
        self._loaded: dict[str, list[Record]] = {}
        self.counts: dict[str, dict[str, Any]] = {}
        """By record type: total, dropped by filter and reason, kept by split; kept + dropped =
        total, always. Beside it what the source itself left out, by reason."""

    def split(self, record_type: RecordType, split: Split) -> Sequence[Record]:
        """The records of a type and split; `UserError` if the run has no such records at all."""
        found = [record for record in self._load(record_type) if record.split == split]
        if not found and split == "train":
            raise UserError(
                f"There are no {record_type} left to train on: {self._explain(record_type)}"
            )
        return found

    def _load(self, record_type: RecordType) -> list[Record]:
        if record_type not in self._loaded:
            source = self._sources.get(record_type)
            if source is None:
                raise UserError(
                    f"This run has no {record_type}. Name a source: data=... or {record_type}=files {record_type}.path=..."
                )
            records = list(source.records(record_type))
            counts: dict[str, Any] = {"total": len(records), "dropped": {}}
            for name, apply in self._filters.items():
                before = len(records)
                records, dropped = apply(records)
                if len(records) + sum(dropped.values()) != before:
                    raise PluginError(
                        f"The filter {name} was given {before} {record_type}, kept {len(records)} and says that it dropped "
                        f"{sum(dropped.values())}: a row was lost without a reason, or made up."
                    )
                counts["dropped"].update(
                    {f"{name}: {reason}": n for reason, n in dropped.items() if n}
                )
            self._check_splits(record_type, records)
            left_out = source.left_out(record_type) if isinstance(source, LeavesOut) else {}
            counts["left out by the source"] = dict(left_out)
            counts["kept"] = {split: sum(r.split == split for r in records) for split in SPLITS}
            self.counts[record_type] = counts
            self._loaded[record_type] = records
        return self._loaded[record_type]

    def _check_splits(self, record_type: RecordType, records: Sequence[Record]) -> None:
        strange = next((r for r in records if r.split not in SPLITS), None)
        if strange is not None:
            raise UserError(
                f"{record_type} have the split {strange.split!r}. Allowed: {', '.join(SPLITS)}. "
                "Assign one with a filter: filters=standard (by user) or filters=by_group."
            )

    def _explain(self, record_type: RecordType) -> str:
        counts = self.counts[record_type]
        dropped = (
            ", ".join(f"{reason} {n}" for reason, n in counts["dropped"].items())
            or "nothing dropped"
        )
        return f"{counts['total']} read, {dropped}, kept {counts['kept']}."
