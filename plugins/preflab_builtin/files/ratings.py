"""Short texts with many human ratings each (Hutto & Gilbert 2014, sentiment from -4 to 4), as an InstructGPT exercise.

The reward model scores a whole text after a fixed opening ("Review:"); the policy is given the same opening and the first
words of a text, and goes on. So opening + words + continuation, which the reward model scores during PPO, looks exactly
like opening + text, which it was trained on. Responses begin with the space that separates them from their prompt, so
that byte-pair tokens come out the same way wherever the text is divided.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.interfaces import Gold
from preflab.randomness import derive_seed
from preflab.records import SPLITS, Demonstration, Document, Prompt, Ranking, Record, RecordType
from preflab_builtin.files import fields
from preflab_builtin.files.config import RatingsConfig
from preflab_builtin.files.reading import READERS, files_of, stamp
from preflab_builtin.files.rows import BadRow
from preflab_builtin.files.source import file_digest
from preflab_builtin.files.tables import read_table, share_split


@dataclass(frozen=True)
class RatedText:
    """A text (its words separated by single spaces), the mean of its human ratings, and where it belongs. group: what is
    never divided between splits (the sentences of one review)."""

    id: str
    text: str
    mean: float
    group: str
    split: str


class RatingsSource:
    """The `preflab.interfaces.DataSource` of rated texts. dropped: what was left out, by reason."""

    def __init__(self, records: Mapping[str, Sequence[Record]], dropped: Mapping[str, int]) -> None:
        self._records = records
        self.dropped = dropped

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return None

    @property
    def gold(self) -> Gold | None:
        return None

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Prompts, demonstrations (how people went on), rankings and documents."""
        return self._records[record_type]

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Texts and groups of texts that gave no record, of whichever type."""
        return {reason: n for reason, n in self.dropped.items() if n}


_loaded: dict[tuple[Any, ...], RatingsSource] = {}


def load(config: RatingsConfig) -> RatingsSource:
    """The records; `UserError` naming file and line for a row that is not {id, text, ratings}."""
    key = (stamp(Path(config.path)), repr(config))
    if key not in _loaded:
        texts, dropped = read_texts(config)
        openings = _openings(texts, config, dropped)
        records: dict[str, Sequence[Record]] = {
            "prompts": [demonstration.prompt for demonstration in openings],
            "demonstrations": openings,
            "rankings": [r for split in SPLITS for r in _rankings(texts, split, config, dropped)],
            "documents": [Document(t.id, t.text, "reviews", t.split) for t in texts],
        }
        _loaded[key] = RatingsSource(records, dropped)
    return _loaded[key]


def inspect(config: RatingsConfig) -> Inspection:
    """Digest of the file and of the seed, and the number of records."""
    source = load(config)
    content = hashlib.sha256(
        f"{file_digest(Path(config.path))}\n{config.seed}".encode()
    ).hexdigest()
    types: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings", "documents")
    return Inspection(
        content, {record_type: len(source.records(record_type)) for record_type in types}
    )


def read_texts(config: RatingsConfig) -> tuple[list[RatedText], Counter[str]]:
    """The rated texts in the order of the files, one a distinct text, and how many were left out."""
    path = Path(config.path)
    files = [p for p in files_of(path) if path.is_file() or p.name.lower().endswith(tuple(READERS))]
    if not files:
        raise UserError(
            f"{path}: there is no file of ratings in this folder. Allowed: {', '.join(sorted(READERS))}."
        )
    kept: dict[str, RatedText] = {}
    ids: set[str] = set()
    dropped: Counter[str] = Counter()
    for file in files:
        prefix = f"{file.name.partition('.')[0]}/" if len(files) > 1 else ""
        for name, text, ratings in read_table(
            file,
            lambda row, prefix=prefix: _rated(row, prefix, ids),  # type: ignore[misc]
        ):
            if len(ratings) < config.min_ratings:
                dropped["too few ratings"] += 1
            elif text.casefold() in kept:
                dropped["the same text again"] += 1
            else:
                group = (
                    name.partition(config.group_separator)[0] if config.group_separator else name
                )
                split = share_split(group, config.validation, config.test, config.seed)
                kept[text.casefold()] = RatedText(
                    name, text, sum(ratings) / len(ratings), group, split
                )
    return list(kept.values()), dropped


def _rated(row: Mapping[str, Any], prefix: str, ids: set[str]) -> tuple[str, str, list[float]]:
    name = fields.name(row, "id")
    if not name:
        raise BadRow("id", "is missing")
    if prefix + name in ids:
        raise BadRow("id", f"'{name}' stands twice")
    ids.add(prefix + name)
    return prefix + name, " ".join(fields.text(row, "text").split()), fields.numbers(row, "ratings")


def _openings(
    texts: Sequence[RatedText], config: RatingsConfig, dropped: Counter[str]
) -> list[Demonstration]:
    """The first words of each text as a prompt, and the rest as what its author wrote. An opening that several texts share
    is taken once, so that no prompt for testing was trained on."""
    found: dict[str, Demonstration] = {}
    for text in texts:
        words = text.text.split(" ")
        start, rest = words[: config.prompt_words], words[config.prompt_words :]
        prompt = " ".join([config.opening, *start])
        if not rest:
            dropped["too short for a prompt"] += 1
        elif prompt.casefold() in found:
            dropped["the same opening again"] += 1
        else:
            record = Prompt(text.id, prompt, group=text.group, split=text.split, tags=("opening",))
            found[prompt.casefold()] = Demonstration(record, f" {' '.join(rest)}")
    return list(found.values())


def _rankings(
    texts: Sequence[RatedText], split: str, config: RatingsConfig, dropped: Counter[str]
) -> list[Ranking]:
    """The texts of a split, shuffled in every round by the seed and dealt into groups of K."""
    own = [text for text in texts if text.split == split]
    found = []
    for turn in range(config.rounds):
        order = sorted(
            own,
            key=lambda text, turn=turn: derive_seed(config.seed, "ranking", turn, text.id),  # type: ignore[misc]
        )
        whole = len(order) - len(order) % config.k
        dropped["left over when dealt into rankings"] += len(order) - whole
        for start in range(0, whole, config.k):
            group = order[start : start + config.k]
            preferences = preferences_by_mean([text.mean for text in group], config.tie)
            if not preferences:
                dropped["all texts of the ranking are tied"] += 1
                continue
            prompt = Prompt(
                f"{split}/{turn}/{start // config.k}",
                config.opening,
                split=split,
                tags=("whole text",),
            )
            found.append(Ranking(prompt, tuple(f" {text.text}" for text in group), preferences))
    return found


def preferences_by_mean(means: Sequence[float], tie: float) -> tuple[tuple[int, int], ...]:
    """(better, worse) pairs whose means differ by at least ``tie``. Tied pairs give none; ties need not be transitive.

    >>> preferences_by_mean([2.0, 1.6, 1.2], tie=0.5)
    ((0, 2),)
    """
    return tuple((i, j) for i, a in enumerate(means) for j, b in enumerate(means) if a - b >= tie)
