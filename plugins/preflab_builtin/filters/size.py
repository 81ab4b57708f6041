"""Prompts that are too long, alone or with their responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from preflab.filtering import Sieve, prompt_of, sifted
from preflab.interfaces import Context
from preflab.lengths import row_size
from preflab.records import Demonstration, Prompt, Ranking, Record
from preflab_builtin.filters.config import LengthConfig


class Length:
    """The `preflab.interfaces.Filter` for long prompts, in words, characters or tokens of the
    policy, alone or with their responses; documents are always kept."""

    def __init__(self, config: LengthConfig, context: Context | None = None) -> None:
        self._context = context
        limits: dict[str, tuple[int | None, Callable[[Prompt], int]]] = {
            "words": (config.max_words, lambda prompt: len(prompt.text.split())),
            "characters": (config.max_characters, lambda prompt: len(prompt.text)),
            "tokens": (config.max_tokens, self._tokens),
        }
        self._row = config.max_row_tokens
        self._limits = [(u, most, size) for u, (most, size) in limits.items() if most is not None]

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records whose prompt is within the limits."""
        return sifted(records, self.sieve())

    def sieve(self) -> Sieve:
        """Each record is judged alone."""
        return self._judged

    def _judged(self, record: Record) -> Record | str:
        prompt = prompt_of(record)
        if prompt is not None:
            for unit, most, size in self._limits:
                if size(prompt) > most:
                    return f"prompt over {most} {unit}"
        if self._row is not None and isinstance(record, (Demonstration, Ranking)):
            assert self._context is not None
            if row_size(self._context.tokenizer, record) > self._row:
                return f"prompt and response over {self._row} tokens"
        return record

    def _tokens(self, prompt: Prompt) -> int:
        """Tokens that the policy reads, those of its chat template included."""
        assert self._context is not None
        return len(self._context.tokenizer.encode_prompt(prompt))
