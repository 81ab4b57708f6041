"""What the owner of records is told before any work."""

from __future__ import annotations

import pytest

from preflab.engine.notices import Kept, Tally, gathered, lost_much, shared_prompts
from preflab.records import Demonstration, Document, Prompt


def tally(**texts: str) -> Tally:
    """Prompts of splits: one for each letter."""
    counted = Tally()
    for split, letters in texts.items():
        for letter in letters:
            counted.add(Prompt(letter, letter, split=split))
    return counted


def test_a_tenth_is_not_much() -> None:
    counts = {"total": 100, "dropped": {"private: phone number": 10}, "examples": {}}
    assert list(lost_much("prompts", counts)) == []
    assert list(lost_much("prompts", {"total": 0, "dropped": {}})) == []


def test_more_than_a_tenth_is_told_with_examples_and_the_override() -> None:
    counts = {
        "total": 100,
        "dropped": {"private: phone number": 5, "dedup: again": 4, "private: e-mail address": 2},
        "examples": {"private: phone number": ["a.jsonl:3 'call'"], "dedup: again or so": ["b"]},
    }
    assert list(lost_much("prompts", counts)) == [
        "prompts: the filters leave out 11 of 100 rows (11%).\n"
        "  filters.private=null keeps the 7 of them that private leaves out:\n"
        "    phone number 5\n"
        "      a.jsonl:3 'call'\n"
        "    e-mail address 2\n"
        "  filters.dedup=null keeps the 4 of them that dedup leaves out:\n"
        "    again 4\n"
        "    again or so\n"
        "      b"
    ]


def test_records_are_counted_by_split() -> None:
    counted = tally(train="abc", test="ad")
    counted.add(Demonstration(Prompt("e", "e", split="validation"), "r"))
    counted.add(Document("e", "e", split="validation"))
    assert counted.splits == {"train": 3, "test": 2, "validation": 2}
    # a document has no prompt
    assert len(counted.prompts) == 5


@pytest.mark.parametrize(
    ("named", "cure"), [(True, "filters.split.name="), (False, "+filter@filters.split=")]
)
def test_prompts_on_both_sides_are_counted(named: bool, cure: str) -> None:
    tallies = {"prompts": tally(train="xyz", test="abc"), "rankings": tally(train="abd", test="dd")}
    # a, b of the test prompts are ranked for training; so is d
    first, second = shared_prompts(tallies, named)
    assert first.startswith("prompts: of 3 different prompts for validation and test some are also")
    assert "word for word: 2 in rankings." in first
    assert "of 1 different prompts" in second
    assert "1 in rankings." in second
    assert f" {cure}split_by_prompt puts equal prompts into one split" in first
    assert list(shared_prompts({"prompts": tally(train="abc", validation="de")}, named)) == []


def test_what_was_said_of_other_records_says_so() -> None:
    """The sentence on prompts is not about a stage that reads documents alone; that of the model is
    about the other run's records, whichever they are."""
    texts = ["prompts: all begin alike", "documents: few", "the model reads odd words", "own"]
    kept = [Kept("pretrain", texts, {"documents"}, False), Kept("sft", texts[2:], (), False)]
    which = "Said when pretrain was made, by an earlier run that had other records than this one: "
    told = [f"{which}documents: few", f"{which}the model reads odd words"]
    assert gathered(["own"], kept) == ["own", *told]
    assert gathered(["own"], [Kept("pretrain", texts, {"documents"}, True)]) == [
        "own",
        *texts[:-1],
    ]
