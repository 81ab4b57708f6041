"""Private details in prompts and responses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import phonenumbers

from preflab import Inspection, UserError
from preflab.filtering import Sieve, prompt_of, sifted
from preflab.interfaces import Context
from preflab.records import Demonstration, Prompt, Ranking, Record
from preflab_builtin.filters.config import PrivateConfig
from preflab_builtin.filters.emails import has_email
from preflab_builtin.filters.phones import has_phone


def inspect(config: PrivateConfig) -> Inspection:
    """The numbering plans belong to what decides the result."""
    return Inspection(content=f"phonenumbers {phonenumbers.__version__}" if config.phones else "")


def _written(prompt: Prompt) -> Sequence[str]:
    """What people wrote of a prompt; a system message is its owner's, and shared by many."""
    if not prompt.messages:
        return (prompt.text,)
    return [message.content for message in prompt.messages if message.role != "system"]


class DropPrivate:
    """The `preflab.interfaces.Filter` for private details, in every split or, as in InstructGPT, in
    the training split alone. Documents are always kept."""

    def __init__(self, config: PrivateConfig, context: Context | None = None) -> None:
        self._config = config
        self._patterns = [
            (f"matches {pattern}", re.compile(pattern)) for pattern in config.patterns
        ]
        for word in config.words:
            edges = re.compile(rf"(?<!\w){re.escape(word.strip())}(?!\w)", re.IGNORECASE)
            self._patterns.append((f"word '{word.strip()}'", edges))

    def __call__(self, records: Sequence[Record]) -> tuple[list[Record], Mapping[str, int]]:
        """The records without private details, and the first reason for each of the others;
        `UserError` if only training records are filtered and one has no split yet."""
        return sifted(records, self.sieve())

    def sieve(self) -> Sieve:
        """Each record is judged alone."""
        return self._judged

    def _judged(self, record: Record) -> Record | str:
        prompt = prompt_of(record)
        if prompt is None:
            return record
        if self._config.train_only:
            if not record.split:
                raise UserError(
                    "filters: drop_private with train_only comes before the splits are known. "
                    "Put split_by_user or split_by_group first."
                )
            if record.split != "train":
                return record
        texts = [*_written(prompt), *(self._answers(record) if self._config.responses else ())]
        return next((reason for reason in map(self.private_detail, texts) if reason), record)

    @staticmethod
    def _answers(record: Record) -> Sequence[str]:
        if isinstance(record, Ranking):
            return record.responses
        return (record.response,) if isinstance(record, Demonstration) else ()

    def private_detail(self, text: str) -> str:
        """The private detail that a text holds, "" if none."""
        if self._config.emails and has_email(text, self._config.reserved):
            return "e-mail address"
        if self._config.phones and has_phone(text, self._config.regions):
            return "phone number"
        return next((reason for reason, pattern in self._patterns if pattern.search(text)), "")
