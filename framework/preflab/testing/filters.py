"""What holds for filters: kept and dropped rows add up, and only the records decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from preflab.filtering import RowByRow, Selection, sifted
from preflab.records import RECORD_TYPES, Record, with_split
from preflab.testing.components import ComponentContract
from preflab.testing.context import TYPES
from preflab.testing.runs import global_seed
from preflab.testing.world import tiny_records

if TYPE_CHECKING:
    from preflab.interfaces import Filter
    from preflab.testing.case import Case


class FilterContract(ComponentContract):
    """``class TestMine(FilterContract): name = "mine"``."""

    kind = "filter"

    def test_kept_and_dropped_rows_add_up(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            kept, dropped = _filter(preflab_case)(list(records))
            assert all(isinstance(n, int) and n >= 0 for n in dropped.values()), (
                f"dropped counts are {dict(dropped)}"
            )
            total = len(kept) + sum(dropped.values())
            assert total == len(records), (
                f"of {len(records)} {record_type} {len(kept)} are kept and {sum(dropped.values())} "
                "reported as dropped: a row was lost, or added without a report"
            )

    def test_what_is_kept_is_what_was_given_in_its_order(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            kept, _ = _filter(preflab_case)(list(records))
            given = iter([with_split(record, "") for record in records])
            kept_records = [with_split(record, "") for record in kept]
            assert all(record in given for record in kept_records), (
                f"a filter may leave out {record_type} and move them to other splits; it changed "
                "some, or their order"
            )

    def test_the_records_alone_decide(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            results = []
            for seed in (11, 12):
                given = list(records)
                with global_seed(seed):
                    kept, dropped = _filter(preflab_case, seed)(given)
                results.append((list(kept), dict(dropped)))
                assert given == records, (
                    f"the list of {record_type} that it was given is changed in place"
                )
            assert results[0] == results[1], (
                f"{record_type}: the same records are filtered differently in a run of another seed"
            )

    def test_a_sieve_judges_as_the_filter_does(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            filter_ = _filter(preflab_case)
            if not isinstance(filter_, RowByRow):
                return
            for _ in range(2):
                kept, dropped = sifted(records, filter_.sieve())
                expected, reasons = filter_(list(records))
                assert kept == list(expected), f"its sieve keeps other {record_type}"
                assert dropped == {reason: n for reason, n in reasons.items() if n}, (
                    f"its sieve gives other reasons for leaving out {record_type}"
                )

    def test_records_that_are_read_when_asked_for_are_filtered_alike(
        self, preflab_case: Case
    ) -> None:
        for record_type, records in records_of_each_type().items():
            lazy = Selection(records, range(len(records)), [r.split for r in records])
            kept, dropped = _filter(preflab_case)(lazy)
            expected, reasons = _filter(preflab_case)(records)
            assert (list(kept), dict(dropped)) == (list(expected), dict(reasons)), (
                f"{record_type} in a sequence that is not a list are filtered differently"
            )

    def test_none_and_one_record_are_filtered_too(self, preflab_case: Case) -> None:
        for records in records_of_each_type().values():
            for few in ([], records[:1]):
                kept, dropped = _filter(preflab_case)(list(few))
                assert len(kept) + sum(dropped.values()) == len(few), (
                    f"{len(few)} records: {len(kept)} kept, {dict(dropped)} dropped"
                )


def records_of_each_type() -> Mapping[str, list[Record]]:
    """Records of each type, the first of them twice."""
    everything = tiny_records()
    by_type = {t: [r for r in everything if isinstance(r, TYPES[t])] for t in RECORD_TYPES}
    return {t: [*records, records[0]] for t, records in by_type.items()}


def _filter(case: Case, seed: int = 1) -> Filter:
    return cast("Filter", case.build(case.context(seed=seed)))
