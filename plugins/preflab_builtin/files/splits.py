"""The split that a row names, by the names that a file has for splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflab.errors import nearest
from preflab.rows import BadRow, fields, shown
from preflab_builtin.files.config import RowSettings

_PAPERS = {"valid1": "validation", "valid2": "validation"}
"""Splits of summarize-from-feedback."""
_USUAL = {**fields.SPLIT_ALIASES, **_PAPERS}


class Splits:
    """Reads the splits of one file's rows: names of the config, then the usual ones, then names
    with the word of a split in them, as a folder's files have (train_prefs, eval). Of the last,
    two must not become one split."""

    def __init__(self, settings: RowSettings) -> None:
        self._settings, self._given = settings, dict(settings.splits)
        self._by_word: dict[str, str] = {}
        """By split: the name that was read by a word in it."""
        self._usual: dict[str, str] = {}
        """By split: a usual name of it."""
        self.explained: set[str] = set()
        """Names that the config explains and rows have."""

    def of(self, about: Mapping[str, Any]) -> str:
        """train, validation or test; "" if the row names none. `BadRow` for other names."""
        value = fields.configured_identifier(about, self._settings.split, "split")
        if not value:
            return ""
        lower = value.lower()
        given = next((name for name in (value, lower) if name in self._given), None)
        if given:
            self.explained.add(given)
            return self._given[given]
        usual = _USUAL.get(lower)
        said = {usual} if usual else fields.splits_in(value)
        split = said.pop() if len(said) == 1 else ""
        if not split:
            hint = nearest(value, fields.SPLIT_ALIASES)
            raise self._bad(value, f"{hint} If it means one of them, say so", "train")
        (self._usual if usual else self._by_word).setdefault(split, lower)
        word = self._by_word.get(split, lower)
        other = word if word != lower else self._usual.get(split, lower)
        if split in self._by_word and other != lower:
            what = f"'{shown(other)}' is read as {split} too. If both are, or for another split"
            raise self._bad(value, what, split)
        return split

    def _bad(self, value: str, what: str, split: str) -> BadRow:
        means = self._settings.option(f"splits.{split}=[{shown(value)}]")
        column = self._settings.split or "split"
        return BadRow(column, f"is '{shown(value)}'. {what}: {means}")
