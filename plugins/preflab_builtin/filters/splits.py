"""Splits from hashes: the split of a user depends on the seed and the user alone, not on the other
records, so that prompts, demonstrations and rankings of one user are always together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Document, Prompt, Record, with_split
from preflab_builtin.filters.config import Shares, SplitConfig


def prompt_of(record: Record) -> Prompt | None:
    """The prompt that a record is about; documents have none."""
    if isinstance(record, Document):
        return None
    return record if isinstance(record, Prompt) else record.prompt


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
        return [self._assigned(record) for record in records], {}

    def _assigned(self, record: Record) -> Record:
        if record.split and not self._config.overwrite:
            return record
        return with_split(record, split_of(self._unit(record), self._config))


def by_user(config: SplitConfig, context: Context | None = None) -> Split:
    """The filter that keeps the records of a user together."""
    return Split(config, user_of)


def by_group(config: SplitConfig, context: Context | None = None) -> Split:
    """The filter that keeps the records of a group together."""
    return Split(config, group_of)
