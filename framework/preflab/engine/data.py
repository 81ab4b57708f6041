"""The records of a run: sources by record type, filters in order, counts of what was kept and
dropped, what is odd about them, and transforms of what is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preflab.engine.notices import Tally, lost, lost_much, shared_prompts
from preflab.engine.sifting import sift
from preflab.errors import PluginError, UserError
from preflab.filtering import Remarking, Selection, prompt_of
from preflab.interfaces import DataSource, Filter, LeavesOut, Transform, World
from preflab.records import SPLITS, Document, Record, RecordType, Split

_WITHOUT = {"select": "select=last"}
"""What to choose in a group without the component that makes its stage, if not ``none``."""
_FEW = 10
"""Below so many records of a type a filter may hold all of them out by chance."""


class Records:
    """Reads each record type once, from the source that the run names for it, through the filters;
    what is trained on goes through the transforms.

    sources: the source of each record type; a type without one has no records. filters, transforms:
    by name, in order. needed: what the stages of the run need, as in `Component.needs`, and the key
    of the component that needs it.
    """

    def __init__(
        self,
        sources: Mapping[str, DataSource],
        filters: Mapping[str, Filter],
        needed: Mapping[str, str] | None = None,
        transforms: Mapping[str, Transform] | None = None,
    ) -> None:
        self._sources, self._filters, self._needed = sources, filters, needed or {}
        self._transforms = transforms or {}
        self._trained_on: dict[str, Sequence[Record]] = {}
        self._filtered: dict[str, Sequence[Record]] = {}
        self._tallies: dict[str, Tally] = {}
        self._remarks: dict[str, list[str]] = {}
        self._of_transforms: list[str] = []
        self.counts: dict[str, dict[str, Any]] = {}
        """By record type: total, dropped by filter and reason, kept by split, where kept + dropped
        = total, always; what the source itself left out, by reason; and examples of what was
        dropped, by filter and reason."""

    def split(self, record_type: RecordType, split: Split) -> Sequence[Record]:
        """The records of a type and split; `UserError` if the run has no such records at all."""
        if split == "train" and self._transforms:
            if record_type not in self._trained_on:
                self._trained_on[record_type] = self._transformed(record_type)
            return self._trained_on[record_type]
        return self._of_split(record_type, split)

    def _of_split(self, record_type: RecordType, split: Split) -> Sequence[Record]:
        if record_type not in self._filtered:
            self._read(record_type)
        filtered = self._filtered[record_type]
        if isinstance(filtered, Selection):
            records: Sequence[Record] = filtered.of_split(split)
        else:
            records = [record for record in filtered if record.split == split]
        if not records and split == "train":
            said = [*lost(record_type, self.counts[record_type]), *self._remarks[record_type]]
            said += self._all_held_out(record_type)
            counts = self._explain(record_type)
            raise UserError(
                "\n".join([f"There are no {record_type} left to train on: {counts}", *said])
            )
        return records

    def notices(self) -> list[str]:
        """What the owner of the records should know before any work, of the types read so far, in
        sentences with the override that changes it: filters that leave out more than a tenth,
        splits that are empty or of another size than asked for, prompts that are both trained on
        and held out; and what transforms remark. The records of a simulated world have no owner:
        of them only that."""
        owned = [t for t in self._filtered if not isinstance(self._sources[t], World)]
        notices: list[str] = []
        for record_type in owned:
            notices += lost_much(record_type, self.counts[record_type])
            notices += self._remarks[record_type]
        tallies = {record_type: self._tallies[record_type] for record_type in owned}
        shared = shared_prompts(tallies, "split" in self._filters)
        return [*notices, *shared, *self._of_transforms]

    def _read(self, record_type: RecordType) -> None:
        source = self._sources.get(record_type)
        if source is None:
            raise UserError(
                f"This run has no {record_type}. Name a source: "
                f"data=... or {record_type}=files {record_type}.path=..."
            )
        read = source.records(record_type)
        records = read if isinstance(read, Sequence) else list(read)
        tally = Tally()
        kept, losses = sift(records, self._filters, record_type, tally.add)
        left_out = source.left_out(record_type) if isinstance(source, LeavesOut) else {}
        self._check_splits(record_type, tally)
        self.counts[record_type] = {
            "total": len(records),
            "dropped": losses.dropped,
            "left out by the source": dict(left_out),
            "kept": {split: tally.splits[split] for split in SPLITS},
        }
        if losses.examples:
            self.counts[record_type]["examples"] = losses.examples
        self._remarks[record_type] = [f"{record_type}: {remark}" for remark in losses.remarks]
        self._tallies[record_type], self._filtered[record_type] = tally, kept
        self._check_needed(record_type)

    def _transformed(self, record_type: RecordType) -> Sequence[Record]:
        """The training records as the transforms give them."""
        records = self._of_split(record_type, "train")
        for name, transform in self._transforms.items():
            changed = transform(records)
            if changed is not records and [*map(_who, changed)] != [*map(_who, records)]:
                raise PluginError(
                    f"The transform {name} was given {len(records)} {record_type} and gave back "
                    f"{len(changed)}: it must give one for each, in their order, with the same id "
                    "and in the same split."
                )
            if isinstance(transform, Remarking):
                remarks = (f"transforms.{name} {remark}" for remark in transform.remarks())
                self._of_transforms += [f"{record_type}: {remark}" for remark in remarks]
            records = changed
        return records

    def _check_splits(self, record_type: str, tally: Tally) -> None:
        unknown = next((split for split in tally.splits if split not in SPLITS), None)
        if unknown is not None:
            raise UserError(
                f"{record_type} have the split {unknown!r}. Allowed: {', '.join(SPLITS)}. "
                "Assign one with a filter: filters=standard (by user) or filters=by_group."
            )

    def _check_needed(self, record_type: str) -> None:
        """Refuse a split that is empty although something of the run needs it."""
        kept = self.counts[record_type]["kept"]
        for need, key in self._needed.items():
            word, _, wanted = need.partition(":")
            splits = wanted.split(",")
            if word != record_type or not wanted or any(kept[split] for split in splits):
                continue
            remarks = self._remarks[record_type] or [
                f"Give rows of that split, or let the filter assign more: "
                f"filters.split.{splits[0]}=0.2 (with filters.split.overwrite=true if the rows "
                "name their splits)."
            ]
            said = "\n".join([*lost(record_type, self.counts[record_type]), *remarks])
            without = f"{key}=null" if "." in key else _WITHOUT.get(key, f"{key}=none")
            raise UserError(
                f"{key} needs {record_type} for {' or '.join(splits)}, and there are none: "
                f"{self._explain(record_type)}\n{said}\n{without} does without them."
            )

    def _all_held_out(self, record_type: str) -> Iterator[str]:
        """What to do if no row that is left may be trained on."""
        number = sum(self.counts[record_type]["kept"].values())
        if number:
            add = "" if "split" in self._filters else "+filter@filters.split=split_by_user "
            yield (
                f"All {number} that are left are for validation or test. If the rows name their "
                f"splits, {add}filters.split.overwrite=true assigns others."
            )
        if 0 < number < _FEW and "split" in self._filters:
            yield (
                "To train on all of so few: filters.split.overwrite=true "
                "filters.split.validation=0 filters.split.test=0."
            )

    def _explain(self, record_type: str) -> str:
        counts = self.counts[record_type]
        dropped = ", ".join(f"{reason} {n}" for reason, n in counts["dropped"].items())
        return f"{counts['total']} read, {dropped or 'nothing dropped'}, kept {counts['kept']}."


def _who(record: Record) -> tuple[str, str]:
    """The id and split of a record, which no transform changes."""
    prompt = prompt_of(record)
    return record.id if isinstance(record, Document) else prompt.id if prompt else "", record.split
