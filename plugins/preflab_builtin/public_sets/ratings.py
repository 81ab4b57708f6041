"""Short texts with many human ratings each (Hutto & Gilbert 2014, sentiment from -4 to 4), as an
InstructGPT exercise.

The reward model scores a whole text after a fixed opening ("Review:"); the policy is given the same
opening and the first words of a text, and continues it. So opening + words + continuation, which
the reward model scores during PPO, looks exactly like opening + text, which it was trained on.
Responses begin with the space that separates them from their prompt, so that byte-pair tokens are
the same wherever the text is divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import SPLITS, Demonstration, Document, Prompt, Ranking, Record, RecordType
from preflab.rows import (
    READERS,
    BadRow,
    ending_of,
    fields,
    files_of,
    path_digest,
    read_once,
    read_table,
)
from preflab_builtin.filters.splits import split_of
from preflab_builtin.public_sets.config import RatingsConfig

Records = dict[str, Sequence[Record]]


@dataclass(frozen=True)
class RatedText:
    """A text (its words separated by single spaces), the mean of its human ratings, and where it
    belongs. group: what is never divided between splits (the sentences of one review)."""

    id: str
    text: str
    mean: float
    group: str
    split: str


class RatingsSource:
    """The `preflab.interfaces.DataSource` of rated texts; `UserError` naming file and line for a
    row that is not {id, text, ratings}. dropped: what was left out, by reason."""

    def __init__(self, config: RatingsConfig, context: Context | None = None) -> None:
        self._records, self.dropped = read_records(Path(config.path), config)

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Prompts, demonstrations (how people continued them), rankings and documents."""
        return self._records[record_type]

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Texts and groups of texts that gave no record, of whichever type."""
        return {reason: n for reason, n in self.dropped.items() if n}


def inspect(config: RatingsConfig) -> Inspection:
    """Digest of the files, and the number of records."""
    records, _ = read_records(Path(config.path), config)
    counts = {record_type: len(records[record_type]) for record_type in records}
    return Inspection(path_digest(Path(config.path)), counts)


@read_once
def read_records(path: Path, config: RatingsConfig) -> tuple[Records, Counter[str]]:
    """The records by type, and how many texts and groups of texts were left out, by reason."""
    texts, dropped = read_texts(path, config)
    openings = _openings(texts, config, dropped)
    records: Records = {
        "prompts": [demonstration.prompt for demonstration in openings],
        "demonstrations": openings,
        "rankings": [r for split in SPLITS for r in _rankings(texts, split, config, dropped)],
        "documents": [Document(t.id, t.text, "reviews", t.split) for t in texts],
    }
    return records, dropped


def read_texts(path: Path, config: RatingsConfig) -> tuple[list[RatedText], Counter[str]]:
    """The rated texts in the order of the files, each distinct text once, and how many were left
    out."""
    files = [p for p in files_of(path) if path.is_file() or ending_of(p)]
    if not files:
        endings = ", ".join(sorted(READERS))
        raise UserError(f"{path}: there is no file of ratings in this folder. Allowed: {endings}.")
    texts: dict[str, RatedText] = {}
    ids: set[str] = set()
    dropped: Counter[str] = Counter()
    for file in files:
        prefix = f"{file.name.partition('.')[0]}/" if len(files) > 1 else ""
        for name, text, ratings in read_table(file, partial(_rated, prefix, ids)):
            if len(ratings) < config.min_ratings:
                dropped["too few ratings"] += 1
            elif text.casefold() in texts:
                dropped["the same text again"] += 1
            else:
                separator = config.group_separator
                group = name.partition(separator)[0] if separator else name
                mean, split = sum(ratings) / len(ratings), split_of(group, config)
                texts[text.casefold()] = RatedText(name, text, mean, group, split)
    return list(texts.values()), dropped


def _rated(prefix: str, ids: set[str], row: Mapping[str, Any]) -> tuple[str, str, list[float]]:
    name = fields.identifier(row, "id")
    if not name:
        raise BadRow("id", "is missing")
    if prefix + name in ids:
        raise BadRow("id", f"'{name}' occurs twice")
    ids.add(prefix + name)
    return prefix + name, " ".join(fields.text(row, "text").split()), fields.numbers(row, "ratings")


def _openings(
    texts: Sequence[RatedText], config: RatingsConfig, dropped: Counter[str]
) -> list[Demonstration]:
    """The first words of each text as a prompt, and the rest as what its author wrote. An opening
    that several texts share is taken once, so that no prompt for testing was trained on."""
    openings: dict[str, Demonstration] = {}
    for text in texts:
        words = text.text.split(" ")
        start, rest = words[: config.prompt_words], words[config.prompt_words :]
        prompt = " ".join([config.opening, *start])
        if not rest:
            dropped["too short for a prompt"] += 1
        elif prompt.casefold() in openings:
            dropped["the same opening again"] += 1
        else:
            record = Prompt(text.id, prompt, group=text.group, split=text.split, tags=("opening",))
            openings[prompt.casefold()] = Demonstration(record, f" {' '.join(rest)}")
    return list(openings.values())


def _rankings(
    texts: Sequence[RatedText], split: str, config: RatingsConfig, dropped: Counter[str]
) -> list[Ranking]:
    """The texts of a split, shuffled in every round by the seed and dealt into groups of K."""
    own = {text.id: text for text in texts if text.split == split}
    rankings = []
    for turn in range(config.rounds):
        seeds = {name: derive_seed(config.seed, "ranking", turn, name) for name in own}
        order = [own[name] for name in sorted(own, key=seeds.__getitem__)]
        dealt = len(order) - len(order) % config.k
        dropped["left over when dealt into rankings"] += len(order) - dealt
        for start in range(0, dealt, config.k):
            group = order[start : start + config.k]
            preferences = preferences_by_mean([text.mean for text in group], config.tie)
            if not preferences:
                dropped["all texts of the ranking are tied"] += 1
                continue
            name = f"{split}/{turn}/{start // config.k}"
            prompt = Prompt(name, config.opening, split=split, tags=("whole text",))
            responses = tuple(f" {text.text}" for text in group)
            means = tuple(text.mean for text in group)
            rankings.append(Ranking(prompt, responses, preferences, ratings=means))
    return rankings


def preferences_by_mean(means: Sequence[float], tie: float) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs whose means differ by at least ``tie``. Tied pairs give none; ties need
    not be transitive.

    >>> preferences_by_mean([2.0, 1.6, 1.2], tie=0.5)
    ((0, 2),)
    """
    return tuple((i, j) for i, a in enumerate(means) for j, b in enumerate(means) if a - b >= tie)
