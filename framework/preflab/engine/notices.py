"""What the owner of the records should know before any work: pure functions of what was counted
while they were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.filtering import prompt_of
from preflab.records import RECORD_TYPES, Record


@dataclass(frozen=True)
class Notice:
    """A sentence that a person should read before the first stage. group: config group of the
    component that it is about; "" if it is about the run, and said whatever is finished."""

    group: str
    text: str


@dataclass(frozen=True)
class Kept:
    """Sentences that are kept with an artifact. reads: the record types that its stage reads.
    of_own: the run that made it had the records that this one has."""

    stage: str
    texts: Sequence[str]
    reads: Collection[str]
    of_own: bool


def gathered(own: Iterable[str], kept: Iterable[Kept]) -> list[str]:
    """What a run says and what was said of the artifacts that it uses, each sentence once. What was
    said where the records were others says so, and is left out if it is about records of a type
    that the artifact is not made from."""
    said, elsewhere = dict.fromkeys(own), dict[str, str]()
    for artifact in kept:
        for text in artifact.texts:
            record_type = text.partition(": ")[0]
            if artifact.of_own:
                said[text] = None
            elif record_type in artifact.reads or record_type not in RECORD_TYPES:
                elsewhere.setdefault(text, artifact.stage)
    others = [(stage, text) for text, stage in elsewhere.items() if text not in said]
    return [*said, *(_OF_ANOTHER.format(stage, text) for stage, text in others)]


_OF_ANOTHER = "Said when {0} was made, by an earlier run that had other records than this one: {1}"
MUCH = 0.1
"""A larger share of the records of a type is not left out without a word."""
_TRAIN, _HELD_OUT = 1, 2


class Tally:
    """Counts of the records kept, by split, and which prompts are trained on or held out: 64 bits
    stand for a prompt, so that a million rows take about 150 MB at most."""

    def __init__(self) -> None:
        self.splits: Counter[str] = Counter()
        self.prompts: dict[int, int] = {}
        """By prompt: trained on, held out, or both."""

    def add(self, record: Record) -> None:
        """One more record."""
        self.splits[record.split] += 1
        prompt = prompt_of(record)
        if prompt is not None:
            key = hash(prompt.text)
            side = _TRAIN if record.split == "train" else _HELD_OUT
            self.prompts[key] = self.prompts.get(key, 0) | side

    def on_side(self, side: int) -> set[int]:
        """The prompts that are trained on, or those that are held out."""
        return {key for key, sides in self.prompts.items() if sides & side}


def lost_much(record_type: str, counts: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on the filters, if they leave out more than a tenth of the records of a type."""
    if sum(counts["dropped"].values()) > MUCH * counts["total"]:
        yield from lost(record_type, counts)


def lost(record_type: str, counts: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on the filters, if they leave out anything: how much, examples, and the override
    that keeps it."""
    total, dropped = counts["total"], counts["dropped"]
    number = sum(dropped.values())
    if not number:
        return
    share = f"{number} of {total} rows ({number / total:.0%})"
    lines = [f"{record_type}: the filters leave out {share}."]
    by_filter: Counter[str] = Counter()
    for place, number in dropped.items():
        by_filter[place.partition(": ")[0]] += number
    examples = counts.get("examples", {})
    for name, number in by_filter.most_common():
        lines.append(f"  filters.{name}=null keeps the {number} of them that {name} leaves out:")
        for place in dict.fromkeys([*dropped, *examples]):
            owner, _, reason = place.partition(": ")
            if owner == name:
                lines.append(f"    {reason} {dropped.get(place, '')}".rstrip())
                lines += [f"      {example}" for example in examples.get(place, ())]
    yield "\n".join(lines)


def shared_prompts(tallies: Mapping[str, Tally], named_split: bool) -> Iterator[str]:
    """A sentence on prompts that are both trained on and held out: what is measured on them is
    partly memory. named_split: the filter that assigns splits is called ``split``."""
    trained = {t: tally.on_side(_TRAIN) for t, tally in tallies.items()}
    name = "filters.split.name=" if named_split else "+filter@filters.split="
    for record_type, tally in tallies.items():
        held_out = tally.on_side(_HELD_OUT)
        both = {other: len(held_out & prompts) for other, prompts in trained.items()}
        where = ", ".join(f"{number} in {other}" for other, number in both.items() if number)
        if where:
            yield (
                f"{record_type}: of {len(held_out)} different prompts for validation and test "
                f"some are also trained on, word for word: {where}. What is measured on them is "
                f"partly memory. {name}split_by_prompt puts equal prompts into one split "
                "(with filters.split.overwrite=true also those whose rows name a split)."
            )
