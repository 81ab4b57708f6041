"""Prompts that are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab.interfaces import Context
from preflab.records import Record
from preflab_builtin.filters.config import LengthConfig
from preflab_builtin.filters.splits import prompt_of


class Length:
    """The `preflab.interfaces.Filter` for long prompts; documents are always kept."""

    def __init__(self, config: LengthConfig, context: Context | None = None) -> None:
        self._config = config

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records whose prompt is within the limits."""
        kept: list[Record] = []
        words, characters = self._config.max_words, self._config.max_characters
        dropped = {f"prompt over {words} words": 0, f"prompt over {characters} characters": 0}
        for record in records:
            prompt = prompt_of(record)
            if prompt is None:
                kept.append(record)
            elif words is not None and len(prompt.text.split()) > words:
                dropped[f"prompt over {words} words"] += 1
            elif characters is not None and len(prompt.text) > characters:
                dropped[f"prompt over {characters} characters"] += 1
            else:
                kept.append(record)
        return kept, dropped
