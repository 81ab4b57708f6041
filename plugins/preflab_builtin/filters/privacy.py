"""Private details in training records. The patterns are made to leave out too much rather than too
little: a dropped row is counted, a leaked address is not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from preflab import UserError
from preflab.interfaces import Context
from preflab.records import Demonstration, Ranking, Record
from preflab_builtin.filters.config import PrivateConfig
from preflab_builtin.filters.splits import prompt_of

EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24}(?![\w-])"
)
PHONE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}"  # international: + and at least three groups
    r"|\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,5}"  # area code in brackets
    r"|\d{2,5}[ .-]\d{3,4}[ .-]\d{4}"  # area code, exchange, number
    r"|\d{3}[ .-]\d{4}"  # exchange, number
    r"|0\d{6,14}"  # one run of digits after the trunk zero
    r")(?![\w]|[.,/-]\d)"
)
_DIGITS = range(7, 16)
"""Digits of a phone number: seven for a local one, at most fifteen (ITU-T E.164)."""


def has_phone(text: str) -> bool:
    """Does the text hold what looks like a phone number?

    >>> has_phone("call (555) 123-4567"), has_phone("in 1990-2000")
    (True, False)
    """
    return any(sum(c.isdigit() for c in match.group()) in _DIGITS for match in PHONE.finditer(text))


class DropPrivate:
    """The `preflab.interfaces.Filter` for private details in the training split; records for
    validation and testing, and documents, are always kept."""

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
        `UserError` if a record has no split yet, because it may be for training or not."""
        kept: list[Record] = []
        dropped: dict[str, int] = {}
        for record in records:
            reason = self._reason(record)
            if reason:
                dropped[reason] = dropped.get(reason, 0) + 1
            else:
                kept.append(record)
        return kept, dropped

    def _reason(self, record: Record) -> str:
        prompt = prompt_of(record)
        if prompt is None:
            return ""
        if not record.split:
            raise UserError(
                "filters: drop_private comes before the splits are known. "
                "Put split_by_user or split_by_group first."
            )
        if record.split != "train":
            return ""
        texts = [prompt.text, *(self._answers(record) if self._config.responses else ())]
        return next((reason for reason in map(self.private_detail, texts) if reason), "")

    @staticmethod
    def _answers(record: Record) -> Sequence[str]:
        if isinstance(record, Ranking):
            return record.responses
        return (record.response,) if isinstance(record, Demonstration) else ()

    def private_detail(self, text: str) -> str:
        """The private detail that a text holds, "" if none."""
        if self._config.emails and EMAIL.search(text):
            return "e-mail address"
        if self._config.phones and has_phone(text):
            return "phone number"
        return next((reason for reason, pattern in self._patterns if pattern.search(text)), "")
