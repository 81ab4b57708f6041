"""Too much of the same: prompts with one beginning, and prompts of one user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preflab.interfaces import Context
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Prompt, Ranking, Record
from preflab_builtin.filters.config import CapConfig, DeduplicateConfig, Unit
from preflab_builtin.filters.splits import prompt_of


class Deduplicate:
    """The `preflab.interfaces.Filter` for a common beginning. The first prompt with a beginning is
    kept, other prompts with it are dropped. Several demonstrations or rankings of the prompt that
    is kept are kept too, unless they are equal in all they say. Documents are always kept."""

    def __init__(self, config: DeduplicateConfig, context: Context | None = None) -> None:
        self._config = config
        self._ignored = {word.casefold() for word in config.ignore}

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records whose prompt is the first with its beginning."""
        kept: list[Record] = []
        dropped = {"prompt begins as an earlier one": 0, "the same record again": 0}
        first: dict[str, str] = {}
        contents: set[Any] = set()
        for record in records:
            prompt = prompt_of(record)
            if prompt is None:
                kept.append(record)
            elif first.setdefault(self.beginning(prompt.text), prompt.text) != prompt.text:
                dropped["prompt begins as an earlier one"] += 1
            elif (content := _content(record)) in contents:
                dropped["the same record again"] += 1
            else:
                contents.add(content)
                kept.append(record)
        return kept, dropped

    def beginning(self, text: str) -> str:
        """The part that must differ; in words, space, case and the ignored words do not count."""
        if self._config.unit is Unit.characters:
            return text[: self._config.length]
        words = [word for word in text.casefold().split() if word not in self._ignored]
        return " ".join(words[: self._config.length])


def _content(record: Record) -> tuple[Any, ...]:
    """All that a record says; for a ranking also who ranked, because two people may agree."""
    if isinstance(record, Demonstration):
        return (record.prompt.text, record.response)
    if isinstance(record, Ranking):
        return (record.prompt.text, record.responses, record.preferences, record.labeler)
    assert isinstance(record, Prompt)
    return (record.text,)


class CapPerUser:
    """The `preflab.interfaces.Filter` for prolific users. A hash of their ids decides which prompts
    are kept, so that the same ones are kept among prompts, demonstrations and rankings, as far as
    these have the same prompts."""

    def __init__(self, config: CapConfig, context: Context | None = None) -> None:
        self._config = config

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records whose prompt is among the chosen of its user; records without a user, and
        documents, are always kept."""
        prompts: dict[str, set[str]] = {}
        for record in records:
            prompt = prompt_of(record)
            if prompt is not None and prompt.user:
                prompts.setdefault(prompt.user, set()).add(prompt.id)
        chosen = {user: self._chosen(user, ids) for user, ids in prompts.items()}
        kept = [record for record in records if self._keeps(record, chosen)]
        reason = f"more than {self._config.prompts} prompts of one user"
        return kept, {reason: len(records) - len(kept)}

    def _chosen(self, user: str, ids: set[str]) -> set[str]:
        seed = self._config.seed
        order = sorted(ids, key=lambda name: (derive_seed(seed, "cap", user, name), name))
        return set(order[: self._config.prompts])

    @staticmethod
    def _keeps(record: Record, chosen: Mapping[str, set[str]]) -> bool:
        prompt = prompt_of(record)
        return prompt is None or not prompt.user or prompt.id in chosen[prompt.user]
