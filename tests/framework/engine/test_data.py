"""The records of a run: each type read once, filtered in order, and every row counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from preflab.engine.data import Records
from preflab.errors import PluginError, UserError
from preflab.interfaces import LeavesOut
from preflab.records import Prompt, Record, RecordType, with_split


class Source:
    """Four prompts without a split, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def records(self, record_type: RecordType) -> Sequence[Record]:
        self.asked += 1
        return [Prompt(str(i), f"question {i}") for i in range(4)]


class LossySource(Source):
    """One that leaves out rows."""

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        return {"bad row": 2}


def assign(records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
    """Filter: the first record for testing, the others for training."""
    return [with_split(r, "train" if i else "test") for i, r in enumerate(records)], {}


def drop_last(records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
    """Filter: without the last record; a reason that fits none is counted as zero."""
    return list(records[:-1]), {"last": 1, "too long": 0}


def drop_all(records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
    """Filter: nothing is kept."""
    return [], {"all": len(records)}


def lose(records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
    """Filter: a record is lost without a reason."""
    return list(records[:-1]), {}


def test_records_pass_the_filters_in_order_once() -> None:
    source = Source()
    records = Records({"prompts": source}, {"cut": drop_last, "split": assign})
    assert [r.id for r in records.split("prompts", "train") if isinstance(r, Prompt)] == ["1", "2"]
    assert [r.id for r in records.split("prompts", "test") if isinstance(r, Prompt)] == ["0"]
    assert records.split("prompts", "validation") == []
    assert source.asked == 1


def test_kept_and_dropped_rows_are_counted() -> None:
    source = LossySource()
    assert isinstance(source, LeavesOut)
    assert not isinstance(Source(), LeavesOut)
    records = Records({"prompts": source}, {"split": assign, "cut": drop_last})
    records.split("prompts", "train")
    assert records.counts == {
        "prompts": {
            "total": 4,
            "dropped": {"cut: last": 1},
            "left out by the source": {"bad row": 2},
            "kept": {"train": 2, "validation": 0, "test": 1},
        }
    }


def test_a_filter_that_loses_a_row_is_named() -> None:
    records = Records({"prompts": Source()}, {"split": assign, "mine": lose})
    expected = "filter mine was given 4 prompts, kept 3 and reports 0 dropped"
    with pytest.raises(PluginError, match=expected):
        records.split("prompts", "train")


def test_a_record_without_a_split_is_refused() -> None:
    with pytest.raises(UserError, match=r"prompts have the split ''\. Allowed: train, validation"):
        Records({"prompts": Source()}, {}).split("prompts", "train")


def test_nothing_left_to_train_on_says_where_it_went() -> None:
    records = Records({"prompts": Source()}, {"mine": drop_all})
    expected = "no prompts left to train on: 4 read, mine: all 4, kept"
    with pytest.raises(UserError, match=expected):
        records.split("prompts", "train")
    assert records.split("prompts", "test") == []


def test_a_type_without_a_source_is_refused() -> None:
    with pytest.raises(UserError, match=r"no rankings\. Name a source: data=\.\.\. or rankings="):
        Records({"prompts": Source()}, {}).split("rankings", "train")
