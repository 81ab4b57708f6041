"""UKPConvArg1 (Habernal & Gurevych 2016, CC BY 4.0): crowd judgements of which of two arguments convinces more.

One ranking a side of a debate: the prompt names the debate and the side, the responses are its arguments (up to 35), and
all judged pairs among them are its preferences, so that each argument is read once. Arguments stand in many pairs;
therefore splits divide debates, never pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.errors import nearest
from preflab.interfaces import Gold
from preflab.randomness import derive_seed
from preflab.records import Prompt, Ranking, Record, RecordType
from preflab_builtin.files import fields
from preflab_builtin.files.config import Preferences, UkpConfig
from preflab_builtin.files.reading import stamp
from preflab_builtin.files.rows import BadRow
from preflab_builtin.files.source import file_digest
from preflab_builtin.files.tables import only, read_table

ARGUMENTS, PAIRS = "arguments.jsonl.gz", "pairs.jsonl.gz"


@dataclass(frozen=True)
class Pair:
    """Two arguments of one side of a debate. votes: a1, a2 or equal, one a worker; gold: a1, a2, or None (not strict)."""

    title: str
    stance: str
    a1: str
    a2: str
    votes: tuple[str, ...]
    gold: str | None

    def preferences(self, rule: Preferences) -> list[tuple[str, str]]:
        """(better, worse) argument ids: one for the gold winner, or one a vote that takes a side."""
        winners = self.votes if rule is Preferences.votes else (self.gold,)
        sides = {"a1": (self.a1, self.a2), "a2": (self.a2, self.a1)}
        return [sides[winner] for winner in winners if winner in sides]


class UkpSource:
    """The `preflab.interfaces.DataSource` of UKPConvArg1. undecided: pairs that gave no preference (no strict winner, or
    only votes for equal)."""

    def __init__(self, rankings: Sequence[Ranking], undecided: int) -> None:
        self._rankings = list(rankings)
        self.undecided = undecided

    @property
    def vocabulary(self) -> Sequence[str] | None:
        return None

    @property
    def gold(self) -> Gold | None:
        return None

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Rankings, and the prompts of the sides of all debates."""
        if record_type == "rankings":
            return self._rankings
        return [ranking.prompt for ranking in self._rankings] if record_type == "prompts" else []

    def left_out(self, record_type: RecordType) -> dict[str, int]:
        """Pairs without a preference."""
        return (
            {"pair without a preference": self.undecided}
            if record_type == "rankings" and self.undecided
            else {}
        )


_loaded: dict[tuple[Any, ...], UkpSource] = {}


def load(config: UkpConfig) -> UkpSource:
    """The rankings; `UserError` naming file and line for a row that is not of this set."""
    files = _files(config)
    key = (*map(stamp, files), repr(config))
    if key not in _loaded:
        _loaded[key] = _build(config, *files)
    return _loaded[key]


def inspect(config: UkpConfig) -> Inspection:
    """Digest of both files and of the split's seed, and the number of sides of debates."""
    source = load(config)
    parts = [*(file_digest(path) for path in _files(config)), str(config.seed)]
    sides = len(source.records("rankings"))
    return Inspection(
        hashlib.sha256("\n".join(parts).encode()).hexdigest(), {"prompts": sides, "rankings": sides}
    )


def _files(config: UkpConfig) -> list[Path]:
    folder = Path(config.path)
    missing = [name for name in (ARGUMENTS, PAIRS) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: there is no {missing[0]} in it; data=ukp needs {ARGUMENTS} and {PAIRS}."
        )
    return [folder / ARGUMENTS, folder / PAIRS]


def _build(config: UkpConfig, arguments_file: Path, pairs_file: Path) -> UkpSource:
    texts = dict(
        read_table(arguments_file, lambda row: (fields.text(row, "id"), fields.text(row, "text")))
    )
    pairs = list(read_table(pairs_file, lambda row: _pair(row, texts)))
    splits = fold_splits(sorted({pair.title for pair in pairs}), config)
    sides: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        sides.setdefault((pair.title, pair.stance), []).append(pair)
    rankings, undecided = [], 0
    for (title, stance), judged in sides.items():
        names = list(dict.fromkeys(name for pair in judged for name in (pair.a1, pair.a2)))
        place = {name: i for i, name in enumerate(names)}
        found = [pair.preferences(config.preferences) for pair in judged]
        undecided += sum(not preferences for preferences in found)
        preferences = tuple(
            (place[better], place[worse]) for some in found for better, worse in some
        )
        if preferences:
            text = config.prompt.replace("{title}", title).replace("{stance}", stance)
            name = fields.text_digest(f"{title}\n{stance}")
            prompt = Prompt(name, text, group=title, split=splits[title], tags=("argument",))
            rankings.append(
                Ranking(prompt, tuple(f" {texts[name]}" for name in names), preferences)
            )
    return UkpSource(rankings, undecided)


def _pair(row: Mapping[str, Any], texts: Mapping[str, str]) -> Pair:
    names = [fields.text(row, field) for field in ("a1", "a2")]
    for field, name in zip(("a1", "a2"), names, strict=True):
        if name not in texts:
            raise BadRow(field, f"'{name}' is no id in {ARGUMENTS}")
    if names[0] == names[1]:
        raise BadRow("a2", "is the same argument as a1")
    votes = tuple(
        only(
            vote.get("value") if isinstance(vote, Mapping) else vote, "votes", ("a1", "a2", "equal")
        )
        for vote in fields.items(row, "votes")
    )
    gold = only(row.get("gold_strict"), "gold_strict", ("a1", "a2", None))
    return Pair(
        fields.text(row, "title"), fields.text(row, "stance"), names[0], names[1], votes, gold
    )


def fold_splits(titles: Sequence[str], config: UkpConfig) -> dict[str, str]:
    """The split of each debate: the titles, shuffled by the seed, are dealt to the folds in turn; titles that the config
    names for testing are taken out first."""
    for title in config.test_titles:
        if title not in titles:
            raise UserError(
                f"data.test_titles: there is no debate '{title}'. {nearest(title, titles)}"
            )
    if config.folds > len(titles):
        raise UserError(f"data.folds is {config.folds}, but there are only {len(titles)} debates.")
    splits = {title: "test" for title in config.test_titles}
    dealt = sorted(
        (t for t in titles if t not in splits), key=lambda t: derive_seed(config.seed, "fold", t)
    )
    for i, title in enumerate(dealt):
        fold = i % config.folds
        if not config.test_titles and fold == config.test_fold:
            splits[title] = "test"
        else:
            splits[title] = "validation" if fold == config.validation_fold else "train"
    return splits
