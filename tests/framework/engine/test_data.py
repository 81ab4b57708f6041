"""The records of a run: each type read once, filtered in order, and every row counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
            "examples": {"cut: last": ["3 'question 3'"]},
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
    with pytest.raises(UserError, match=expected) as refusal:
        records.split("prompts", "train")
    assert "filters.mine=null keeps the 4 of them" in str(refusal.value)
    assert records.split("prompts", "test") == []


def hold_out(records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
    """Filter: every record is for testing."""
    return [with_split(r, "test") for r in records], {}


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("split", "names? their splits, filters.split.overwrite=true assigns others"),
        ("mine", r"\+filter@filters\.split=split_by_user filters\.split\.overwrite=true assigns"),
    ],
)
def test_rows_that_are_all_held_out_can_be_assigned_anew(name: str, cure: str) -> None:
    records = Records({"prompts": Source()}, {name: hold_out})
    with pytest.raises(UserError, match=f"All 4 that are left are for validation or test.*{cure}"):
        records.split("prompts", "train")


def test_the_filter_that_emptied_a_split_is_named() -> None:
    """The first of four is for testing and the last is dropped here; that may be the one."""
    needed = {"prompts:validation": "select"}
    records = Records({"prompts": Source()}, {"split": assign, "cut": drop_last}, needed)
    with pytest.raises(UserError, match=r"filters\.cut=null keeps the 1 of them") as refusal:
        records.split("prompts", "train")
    assert "filters.split.validation=0.2" in str(refusal.value)


def test_a_type_without_a_source_is_refused() -> None:
    with pytest.raises(UserError, match=r"no rankings\. Name a source: data=\.\.\. or rankings="):
        Records({"prompts": Source()}, {}).split("rankings", "train")


def test_a_split_that_something_needs_is_refused_with_the_cure() -> None:
    needed = {"prompts:test": "evaluation", "prompts": "algorithm", "rankings:test": "evaluation"}
    full = Records({"prompts": Source()}, {"split": assign}, needed)
    assert len(full.split("prompts", "train")) == 3
    needed = {
        "prompts:validation,test": "evaluation.evaluators.mine",
        "prompts:validation": "select",
    }
    either = Records({"prompts": Source()}, {"split": assign}, needed)
    expected = r"select needs prompts for validation, and there are none: 4 read, nothing dropped"
    with pytest.raises(UserError, match=expected) as refusal:
        either.split("prompts", "train")
    assert str(refusal.value).endswith("select=last does without them.")
    assert "filters.split.validation=0.2" in str(refusal.value)
    nested = Records({"prompts": Source()}, {"mine": drop_all}, needed)
    with pytest.raises(UserError, match=r"evaluation\.evaluators\.mine=null does without them"):
        nested.split("prompts", "test")


def test_notices_are_of_what_was_read() -> None:
    records = Records({"prompts": Source()}, {"split": assign, "cut": drop_last})
    assert records.notices() == []
    records.split("prompts", "train")
    (notice,) = records.notices()
    assert notice.startswith("prompts: the filters leave out 1 of 4 rows (25%).")
    assert "filters.cut=null keeps the 1" in notice
    assert "3 'question 3'" in notice


def test_a_simulated_world_has_no_owner_to_tell() -> None:
    class Simulated(Source):
        """A world."""

        vocabulary = gold = None

    records = Records({"prompts": Simulated()}, {"split": assign, "cut": drop_last})
    records.split("prompts", "train")
    assert records.notices() == []


def shout(records: Sequence[Record]) -> Sequence[Record]:
    """Transform: prompts in capitals."""
    return [replace(r, text=r.text.upper()) for r in records if isinstance(r, Prompt)]


def test_transforms_change_what_is_trained_on_and_nothing_else() -> None:
    records = Records({"prompts": Source()}, {"split": assign}, transforms={"shout": shout})
    trained = records.split("prompts", "train")
    assert [r.text for r in trained if isinstance(r, Prompt)] == [
        f"QUESTION {i}" for i in (1, 2, 3)
    ]
    assert records.split("prompts", "train") is trained  # made once
    (held_out,) = records.split("prompts", "test")
    assert isinstance(held_out, Prompt)
    assert held_out.text == "question 0"
    assert records.counts["prompts"]["kept"]["train"] == 3


def test_a_transform_that_leaves_out_a_record_is_named() -> None:
    records = Records(
        {"prompts": Source()}, {"split": assign}, transforms={"cut": lambda rows: rows[1:]}
    )
    with pytest.raises(PluginError, match="transform cut was given 3 prompts and gave back 2"):
        records.split("prompts", "train")


def test_what_a_transform_remarks_is_told() -> None:
    class Shouting:
        def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
            return shout(records)

        def remarks(self) -> Sequence[str]:
            return ["shouts."]

    records = Records({"prompts": Source()}, {"split": assign}, transforms={"loud": Shouting()})
    assert not any("shouts" in said for said in records.notices())
    records.split("prompts", "train")
    assert records.notices()[-1] == "prompts: transforms.loud shouts."
