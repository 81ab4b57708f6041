"""UKPConvArg1 (Habernal & Gurevych 2016, CC BY 4.0): crowd judgements of which of two arguments
convinces more.

One ranking per side of a debate: the prompt names the debate and the side, the responses are its
arguments (up to 35), and all judged pairs among them are its preferences, so that each argument is
read once; with preferences=people once for each group of people. An argument is in many pairs;
therefore splits divide debates, never pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.errors import nearest
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Prompt, Ranking, Record, RecordType
from preflab.records import pairs as pairs_of
from preflab.rows import BadRow, fields, path_digest, read_once, read_table
from preflab_builtin.public_sets.config import Preferences, UkpConfig

ARGUMENTS, PAIRS = "arguments.jsonl.gz", "pairs.jsonl.gz"


@dataclass(frozen=True)
class Pair:
    """Two arguments of one side of a debate, by id. votes: (who, a1, a2 or equal), one per worker;
    gold: a1, a2, or None (no strict winner)."""

    title: str
    stance: str
    a1: str
    a2: str
    votes: tuple[tuple[str, str], ...]
    gold: str | None

    def preferences(self, rule: Preferences) -> list[tuple[str, str]]:
        """(better, worse) argument ids: one for the gold winner, or one per vote for a side."""
        strict = rule is Preferences.gold_strict
        winners = [self.gold] if strict else [value for _, value in self.votes]
        sides = {"a1": (self.a1, self.a2), "a2": (self.a2, self.a1)}
        return [sides[winner] for winner in winners if winner in sides]

    def known(self, rule: Preferences) -> bool:
        """Whether it is decided. Votes for equal make a tie; the lack of a strict winner does
        not."""
        return self.gold is not None if rule is Preferences.gold_strict else bool(self.votes)


class UkpSource:
    """The `preflab.interfaces.DataSource` of UKPConvArg1; `UserError` naming file and line for a
    row that is not of this set. undecided: pairs that gave no preference (no strict winner, or only
    votes for equal)."""

    def __init__(self, config: UkpConfig, context: Context | None = None) -> None:
        folder = Path(config.path)
        _check_files(folder)
        self._rankings, self.undecided = read_rankings(folder, config)

    def records(self, record_type: RecordType) -> Sequence[Record]:
        """Rankings, and the prompts of the sides of all debates."""
        if record_type == "rankings":
            return self._rankings
        prompts = {ranking.prompt.id: ranking.prompt for ranking in self._rankings}
        return list(prompts.values()) if record_type == "prompts" else []

    def left_out(self, record_type: RecordType) -> Mapping[str, int]:
        """Pairs without a preference."""
        counted = record_type == "rankings" and self.undecided
        return {"pair without a preference": self.undecided} if counted else {}


def inspect(config: UkpConfig) -> Inspection:
    """Digests of both files, the number of sides of debates, and that of rankings of them."""
    source = UkpSource(config)
    counts = {
        "prompts": len(source.records("prompts")),
        "rankings": len(source.records("rankings")),
    }
    digests = [path_digest(Path(config.path, name)) for name in (ARGUMENTS, PAIRS)]
    return Inspection("\n".join(digests), counts)


def _check_files(folder: Path) -> None:
    missing = [name for name in (ARGUMENTS, PAIRS) if not (folder / name).is_file()]
    if missing:
        needed = f"data=ukp needs {ARGUMENTS} and {PAIRS}"
        raise UserError(f"{folder}: there is no {missing[0]} in it; {needed}.")


@read_once
def read_rankings(folder: Path, config: UkpConfig) -> tuple[list[Ranking], int]:
    """The rankings of each side of a debate that have preferences, and the number of undecided
    pairs."""
    texts = dict(read_table(folder / ARGUMENTS, _argument))
    pairs = list(read_table(folder / PAIRS, lambda row: _pair(row, texts)))
    splits = fold_splits(sorted({pair.title for pair in pairs}), config)
    sides: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        sides.setdefault((pair.title, pair.stance), []).append(pair)
    people = config.preferences is Preferences.people
    apart = _apart(pairs, config.own_group)
    rankings, undecided = [], 0
    for (title, stance), judged in sides.items():
        undecided += sum(not pair.preferences(config.preferences) for pair in judged)
        text = config.prompt.replace("{title}", title).replace("{stance}", stance)
        name = fields.text_digest(f"{title}\n{stance}")
        prompt = Prompt(name, text, group=title, split=splits[title], tags=("argument",))
        parts = _by_group(judged, apart) if people else {"": judged}
        for group, own in parts.items():
            ranking = _ranking(prompt, own, texts, config.preferences)
            if ranking.preferences:
                rankings.append(replace(ranking, labeler=group, group=group))
    return rankings, undecided


def _ranking(
    prompt: Prompt, judged: Sequence[Pair], texts: Mapping[str, str], rule: Preferences
) -> Ranking:
    """The arguments of a side that some pairs compare, and what is preferred among them."""
    names = list(dict.fromkeys(name for pair in judged for name in (pair.a1, pair.a2)))
    index = {name: i for i, name in enumerate(names)}
    preferences = tuple(
        (index[better], index[worse]) for pair in judged for better, worse in pair.preferences(rule)
    )
    known = (pair for pair in judged if pair.known(rule))
    decided = {tuple(sorted((index[pair.a1], index[pair.a2]))) for pair in known}
    unjudged = tuple(pair for pair in pairs_of(len(names)) if pair not in decided)
    responses = tuple(f" {texts[name]}" for name in names)
    return Ranking(prompt, responses, preferences, unjudged=unjudged)


def _apart(pairs: Sequence[Pair], least: int) -> Set[str]:
    """The people who voted for a side so often."""
    sided = Counter(who for pair in pairs for who, value in pair.votes if value != "equal")
    return {who for who, number in sided.items() if who and number >= least}


def _by_group(judged: Sequence[Pair], apart: Set[str]) -> Mapping[str, Sequence[Pair]]:
    """The pairs of a side with the votes of each of those people alone, by their name, and with the
    votes of all others, by ""."""
    found: dict[str, list[Pair]] = {}
    for pair in judged:
        votes: dict[str, list[tuple[str, str]]] = {}
        for who, value in pair.votes:
            votes.setdefault(who if who in apart else "", []).append((who, value))
        for group, own in votes.items():
            found.setdefault(group, []).append(replace(pair, votes=tuple(own)))
    return {group: found[group] for group in sorted(found)}


def _argument(row: Mapping[str, Any]) -> tuple[str, str]:
    return fields.text(row, "id"), fields.text(row, "text")


def _pair(row: Mapping[str, Any], texts: Mapping[str, str]) -> Pair:
    a1, a2 = fields.text(row, "a1"), fields.text(row, "a2")
    for field, name in (("a1", a1), ("a2", a2)):
        if name not in texts:
            raise BadRow(field, f"'{name}' is not an id in {ARGUMENTS}")
    if a1 == a2:
        raise BadRow("a2", "is the same argument as a1")
    votes = tuple(_vote(vote) for vote in fields.items(row, "votes"))
    gold = fields.one_of(row.get("gold_strict"), "gold_strict", ("a1", "a2", None))
    if texts[a1] == texts[a2]:  # whoever sided between them sided by chance
        votes, gold = tuple((who, "equal") for who, _ in votes), None
    return Pair(fields.text(row, "title"), fields.text(row, "stance"), a1, a2, votes, gold)


def _vote(vote: Any) -> tuple[str, str]:
    """Who, "" if that is not known, and for what."""
    row = vote if isinstance(vote, Mapping) else {"value": vote}
    value = fields.one_of(row.get("value"), "votes", ("a1", "a2", "equal"))
    return str(row.get("labeler") or ""), value


def fold_splits(titles: Sequence[str], config: UkpConfig) -> dict[str, str]:
    """The split of each debate: the titles, shuffled by the seed, are dealt to the folds in turn;
    titles that the config names for testing are taken out first."""
    for title in config.test_titles:
        if title not in titles:
            hint = nearest(title, titles)
            raise UserError(f"data.test_titles: there is no debate '{title}'. {hint}")
    if config.folds > len(titles):
        raise UserError(f"data.folds is {config.folds}, but there are only {len(titles)} debates.")
    splits = {title: "test" for title in config.test_titles}
    others = [title for title in titles if title not in splits]
    dealt = sorted(others, key=lambda title: derive_seed(config.seed, "fold", title))
    for i, title in enumerate(dealt):
        fold = i % config.folds
        if not config.test_titles and fold == config.test_fold:
            splits[title] = "test"
        else:
            splits[title] = "validation" if fold == config.validation_fold else "train"
    return splits
