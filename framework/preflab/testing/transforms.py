"""What holds for transforms: a record for each that was given, and only the records decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from preflab.filtering import Selection
from preflab.records import Document, Prompt, Record
from preflab.testing.components import ComponentContract
from preflab.testing.filters import records_of_each_type
from preflab.testing.runs import global_seed

if TYPE_CHECKING:
    from preflab.interfaces import Transform
    from preflab.testing.case import Case


class TransformContract(ComponentContract):
    """``class TestMine(TransformContract): name = "mine"``."""

    kind = "transform"

    def test_it_gives_a_record_for_each_with_its_id_and_split(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            changed = _transform(preflab_case)(list(records))
            assert [*map(_who, changed)] == [*map(_who, records)], (
                f"{record_type}: it must give one record for each, in their order, with the same "
                "ids and splits"
            )

    def test_it_changes_something_where_it_says_so(self, preflab_case: Case) -> None:
        changed = 0
        for record_type, records in records_of_each_type().items():
            given = list(records)
            found = _transform(preflab_case)(given)
            changed += found is not given
            assert given == records, f"the list of {record_type} that it was given is changed"
        assert changed, "no type of records is changed: what is not changed is given back itself"

    def test_the_records_alone_decide(self, preflab_case: Case) -> None:
        for record_type, records in records_of_each_type().items():
            results = []
            for seed in (11, 12):
                with global_seed(seed):
                    results.append(list(_transform(preflab_case, seed)(list(records))))
            assert results[0] == results[1], (
                f"{record_type}: the same records are changed differently in a run of another seed"
            )
            lazy = Selection(records, range(len(records)), [r.split for r in records])
            assert list(_transform(preflab_case)(lazy)) == results[0], (
                f"{record_type} in a sequence that is not a list are changed differently"
            )

    def test_no_record_is_changed_into_none(self, preflab_case: Case) -> None:
        assert list(_transform(preflab_case)([])) == []


def _who(record: Record) -> tuple[str, str]:
    about = record if isinstance(record, (Prompt, Document)) else record.prompt
    return about.id, record.split


def _transform(case: Case, seed: int = 1) -> Transform:
    return cast("Transform", case.build(case.context(seed=seed)))
