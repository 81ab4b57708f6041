"""A plugin whose people answer later: a labeler, an evaluator and a source of demonstrations that
wait for a file, the round. It holds one word: "open", or what its people prefer, "short" or
"long" responses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Component, Inspection, Waiting, hookimpl, option
from preflab.interfaces import Evaluation, Measure, Subject
from preflab.records import Demonstration, Prompt, Ranking, Record, preferences_from_ranks


@dataclass
class RoundConfig:
    """What people said in a round."""

    name: str = option("round", "component")
    round: str = option("round.txt", "file of the round")
    late: bool = option(False, "whether the labels turn out to be missing when they are asked for")


def seen(config: RoundConfig) -> Inspection:
    """Whether the round is there and closed, and what it holds."""
    path = Path(config.round)
    if not path.is_file():
        return Inspection(waiting=f"there is no round {path} yet: begin-round {{run}}")
    said = path.read_text().strip()
    if said == "open":
        return Inspection("open", waiting="0 of 16 prompts are ranked: label {run}")
    return Inspection(hashlib.sha256(said.encode()).hexdigest())


def seen_demonstrations(config: RoundConfig) -> Inspection:
    """The same of a source of records."""
    inspection = seen(config)
    number = 0 if inspection.waiting else 3
    return Inspection(inspection.content, {"demonstrations": number}, waiting=inspection.waiting)


def said(config: RoundConfig) -> str:
    """What the people of a closed round prefer."""
    word = Path(config.round).read_text().strip()
    assert word in ("short", "long"), "a component that waits was used"
    return word


class Labelers:
    """`preflab.interfaces.Labeler`: one person, who measures responses."""

    def __init__(self, config: RoundConfig, context: Any) -> None:
        self.config, self.sign = config, 1 if said(config) == "short" else -1

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        if self.config.late:
            raise Waiting("nobody has ranked this pool: label {run}")
        ranks = [self.sign * len(text) for text in responses]
        return [Ranking(prompt, tuple(responses), preferences_from_ranks(ranks), "p1")]

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        a, b = self.sign * len(first), self.sign * len(second)
        return 0.5 if a == b else float(a < b)


class Judges:
    """`preflab.interfaces.Evaluator`: whether people like short responses."""

    def __init__(self, config: RoundConfig, context: Any) -> None:
        self.said = said(config)

    def evaluate(self, subject: Subject) -> Evaluation:
        return Evaluation({"people/short": Measure(float(self.said == "short"))})


class Writers:
    """`preflab.interfaces.DataSource`: three demonstrations."""

    def __init__(self, config: RoundConfig, context: Any) -> None:
        said(config)

    def records(self, record_type: str) -> Iterable[Record]:
        splits = ("train", "train", "validation") if record_type == "demonstrations" else ()
        for number, split in enumerate(splits):
            yield Demonstration(Prompt(f"d{number}", "write .", split=split), "please .")


@hookimpl
def preflab_components() -> list[Component]:
    """All of the same round."""
    return [
        Component("labeler", "round", RoundConfig, build=Labelers, inspect=seen),
        Component("evaluator", "round", RoundConfig, build=Judges, inspect=seen),
        Component("data", "round", RoundConfig, build=Writers, inspect=seen_demonstrations),
    ]
