"""Splits from hashes: the split of a user depends on the seed and the user alone, not on the other
records, so that prompts, demonstrations and rankings of one user are always together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from preflab.filtering import in_split, prompt_of, sifted, text_key
from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import SPLITS, Document, Record
from preflab.rows import shown
from preflab_builtin.filters.config import Shares, SplitConfig

FEW_GROUPS, FEW_ROWS = 10, 20
"""Fewer groups than this decide the splits of many rows by chance; fewer rows are no matter."""
_ENOUGH = 30
"""Rows that a split should have, from which on half or twice as many are no chance."""


def user_of(record: Record) -> str:
    """What stays together: the user, else the group, else the record by its id."""
    prompt = prompt_of(record)
    if prompt is not None and prompt.user:
        return f"user {prompt.user}"
    return group_of(record)


def group_of(record: Record) -> str:
    """What stays together: the group, else the record by its id."""
    prompt = prompt_of(record)
    if prompt is not None and prompt.group:
        return f"group {prompt.group}"
    name = record.id if isinstance(record, Document) else prompt.id if prompt is not None else ""
    return f"id {name}"


def prompt_text_of(record: Record) -> str:
    """What stays together: equal prompts, and nothing else."""
    prompt = prompt_of(record)
    return group_of(record) if prompt is None else f"prompt {text_key(prompt.text):x}"


def split_of(unit: str, shares: Shares) -> str:
    """The split of a unit (a user, a group, an id): its hash is a position in [0, 1), with test
    first, then validation, then train."""
    position = derive_seed(shares.seed, "split", unit) / 2**63
    if position < shares.test:
        return "test"
    return "validation" if position < shares.test + shares.validation else "train"


class Split:
    """The `preflab.interfaces.Filter` that assigns splits; it drops nothing."""

    def __init__(self, config: SplitConfig, unit: Callable[[Record], str]) -> None:
        self._config, self._unit = config, unit

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records, each with a split. One that has a split keeps it, unless the config says
        overwrite."""
        return sifted(records, self.sieve())

    def sieve(self) -> Assigning:
        """A pass over the records."""
        return Assigning(self._config, self._unit)


class Assigning:
    """Assigns splits to records one by one, and counts what it has assigned."""

    def __init__(self, config: SplitConfig, unit: Callable[[Record], str]) -> None:
        self._config, self._unit = config, unit
        self._rows: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._sizes: dict[int, int] = {}
        self._largest = (0, "")
        self._first: dict[str, str] = {}
        """By split: the first of its groups."""

    def __call__(self, record: Record) -> Record:
        """The record in its split."""
        if record.split and not self._config.overwrite:
            return record
        unit = self._unit(record)
        split = split_of(unit, self._config)
        key = hash(unit)  # a number: a million groups may have long names
        size = self._sizes[key] = self._sizes.get(key, 0) + 1
        self._rows[split] += 1
        self._groups[split] += size == 1
        self._first.setdefault(split, unit)
        self._largest = max(self._largest, (size, unit))
        return in_split(record, split)

    def remarks(self) -> Iterator[str]:
        """A sentence if the splits are not those that were asked for, or few groups make them."""
        total, groups = self._rows.total(), len(self._sizes)
        asked = {"validation": self._config.validation, "test": self._config.test}
        asked = {split: share for split, share in asked.items() if share}
        if not total or not asked:
            return
        odd = [self._missed(split, share * total) for split, share in asked.items()]
        largest, name = self._largest
        whole = groups < total and total >= FEW_ROWS
        if whole and groups < FEW_GROUPS:
            alone = "1 group alone decides" if groups == 1 else f"{groups} groups alone decide"
            odd.append(f"{alone} the splits")
            odd += [self._alone(split) for split in SPLITS]
        elif whole and largest > 2 * max(asked.values()) * total:
            odd.append(f"one group is larger than a split should be ({name}: {largest} rows)")
        odd = list(filter(None, odd))
        if odd:
            yield self._sentence(asked, odd, whole)

    def _missed(self, split: str, rows: float) -> str:
        """What is wrong with the size of a split, which should have so many rows."""
        own = self._rows[split]
        if not own and rows < 1 / 2:
            return ""  # so few rows that none is expected
        if own and (rows < _ENOUGH or rows / 2 <= own <= 2 * rows):
            return ""
        return f"{split} has {own} rows and should have about {rows:.0f}"

    def _alone(self, split: str) -> str:
        """Whether a split holds one group alone, and none of it is elsewhere."""
        if self._groups[split] != 1 or self._rows[split] == self._rows.total():
            return ""
        kind, _, name = self._first[split].partition(" ")
        return f"all {self._rows[split]} rows of {split} are of one {kind}: {shown(name)}"

    def _sentence(self, asked: Mapping[str, float], odd: Sequence[str], whole: bool) -> str:
        groups = self._groups
        of = {s: f" ({groups[s]} group{'s' * (groups[s] != 1)})" if whole else "" for s in SPLITS}
        sizes = ", ".join(f"{s} {self._rows[s]} rows{of[s]}" for s in SPLITS)
        shares = ", ".join(f"{split} {share:.0%}" for split, share in asked.items())
        kind = self._largest[1].partition(" ")[0]
        total, option = self._rows.total(), "filters.split."
        short = [s for s, share in asked.items() if self._missed(s, share * total)]
        short = [s for s in short if self._rows[s] < asked[s] * total]
        cures = [f"{option}{s}={min(2 * asked[s], 0.4):g} asks for more" for s in short]
        cure = ", ".join([*cures, f"{option}seed={self._config.seed + 1} draws again."])
        if whole:
            also = " (a column, or else how the text begins)" if kind == "group" else ""
            cure = (
                f"Rows with the same {kind}{also} are never in two splits; "
                "filters.split.name=split_by_prompt splits prompt by prompt instead."
            )
        return f"{'; '.join(odd)}. Now {sizes}; asked for {shares}. {cure}"


def by_user(config: SplitConfig, context: Context | None = None) -> Split:
    """The filter that keeps the records of a user together."""
    return Split(config, user_of)


def by_group(config: SplitConfig, context: Context | None = None) -> Split:
    """The filter that keeps the records of a group together."""
    return Split(config, group_of)


def by_prompt(config: SplitConfig, context: Context | None = None) -> Split:
    """The filter that keeps equal prompts together."""
    return Split(config, prompt_text_of)
