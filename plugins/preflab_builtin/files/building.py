"""Rows to records: ids, users, groups and splits, and what a record must not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import nearest
from preflab.records import Demonstration, Document, Prompt, Ranking, Record
from preflab.rows import BadRow, Row, fields, shown
from preflab_builtin.files import shapes, transcripts
from preflab_builtin.files.asking import Case
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.values import truth


class Builder:
    """Turns the rows of one file into records of one type.

    A row without an id is named after its prompt's text, so that one prompt has one id in every
    file. Prompts and documents have different ids; several demonstrations or rankings may share one
    if their prompts' texts are equal.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading, self._settings = reading, reading.settings
        self._type = reading.settings.record_type
        self._taken: dict[str, tuple[str, str]] = {}
        """By id: the place of the row that has it, and the digest of its prompt's text."""
        self._copies: Counter[str] = Counter()

    def notices(self) -> list[str]:
        """What there is to say of the file as a whole, after its last row."""
        unread = self.reading.unread
        if not unread:
            return []
        by_count = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
        names = (f"{name} ({count} rows)" for name, count in by_count)
        return [f"{self._type}: columns not read: {', '.join(names)}"]

    def records(self, rows: Sequence[Row]) -> list[Record]:
        """All records of rows that belong together (mostly one); `BadRow` if one of them is bad,
        and then they take no id."""
        for row in rows:
            if row.problem is not None:
                raise row.problem
        records: list[Record] = []
        new_ids: list[str] = []
        try:
            views = [self.reading.view(row.values) for row in rows]
            for case in shapes.cases(views, self.reading):
                records.append(self._record(case, rows[0].place, new_ids))
        except BadRow:
            for name in new_ids:
                del self._taken[name]
            raise
        return records

    def _record(self, case: Case, place: str, new_ids: list[str]) -> Record:
        if self._type == "documents":
            split = _split(case.about, self._settings)
            return _document(case, split, self._id(case, place, new_ids), place)
        if self._type == "demonstrations":
            _check_demonstration(case)
        if self._type == "rankings":
            _check_ranking(case)
        prompt = self._prompt(case, place, new_ids)
        if self._type == "prompts":
            return prompt
        if self._type == "demonstrations":
            return Demonstration(prompt, case.responses[0])
        return Ranking(prompt, case.responses, case.preferences, case.labeler, case.labeler_group)

    def _prompt(self, case: Case, place: str, new_ids: list[str]) -> Prompt:
        about, settings, asked = case.about, self._settings, case.asked
        if settings.rendered and asked.messages:
            raise BadRow("messages", "are a conversation: rendered=true is for texts")
        user = fields.configured_identifier(about, settings.user, "user")
        group = fields.configured_identifier(about, settings.group, "group")
        split, tags, notes = _split(about, settings), fields.tags(about), _notes(about)
        group = group or fields.text_digest(transcripts.root(asked.text))
        name = self._id(case, place, new_ids)
        return Prompt(
            *(name, asked.text, user, tags, group, split, notes),
            messages=asked.messages,
            rendered=settings.rendered or asked.rendered,
            place=place,
        )

    def _id(self, case: Case, place: str, new_ids: list[str]) -> str:
        text = fields.text_digest(case.asked.text)
        may_repeat = self._type in ("demonstrations", "rankings")
        given = fields.identifier(case.about, "id")
        if not given and may_repeat:
            return text
        if not given:
            self._copies[text] += 1
            return text if self._copies[text] == 1 else f"{text}-{self._copies[text]}"
        name = f"{given}{case.part}"
        if name not in self._taken:
            self._taken[name] = (place, text)
            new_ids.append(name)
            return name
        earlier_place, earlier_text = self._taken[name]
        if may_repeat and earlier_text == text:
            return name
        other = " with another prompt" if may_repeat else ""
        raise BadRow("id", f"'{shown(name)}' is taken by {earlier_place}{other}")


def _split(about: Mapping[str, Any], settings: RowSettings) -> str:
    """train, validation or test, by the config's names for them; "" if the row has none."""
    value = fields.configured_identifier(about, settings.split, "split")
    meanings = {**fields.SPLIT_ALIASES, **_PAPERS, **dict(settings.splits)}
    if value and value not in meanings:
        hint = nearest(value, fields.SPLIT_ALIASES)
        cure = f"If it means one of them, say so: splits.train=[{shown(value)}]"
        raise BadRow(settings.split or "split", f"is '{shown(value)}'. {hint} {cure}")
    return meanings.get(value, "")


_PAPERS = {"valid1": "validation", "valid2": "validation"}
"""Splits of summarize-from-feedback."""


def _notes(about: Mapping[str, Any]) -> dict[str, Any]:
    """What judges are told: the column ``notes``, if it is an object. A text is a remark."""
    value = about.get("notes")
    return dict(value) if isinstance(value, Mapping) else {}


def _check_ranking(case: Case) -> None:
    """At least two responses, and a preference: a reward model learns nothing from a tie of all."""
    if len(case.responses) < 2:
        number = len(case.responses)
        raise BadRow("completions", f"has {number} of them, but a ranking needs at least 2")
    for response in case.responses:
        if not response.strip():
            raise BadRow("response", "one of them is empty")
    if all(response == case.responses[0] for response in case.responses):
        raise BadRow("response", "all of them are the same text")
    if not case.preferences:
        raise BadRow("preferences", "all responses are tied: the row holds no preference")


def _check_demonstration(case: Case) -> None:
    """A response that people did not dislike."""
    if not case.responses:
        raise BadRow("completion", "is missing")
    for field in ("label", "kto_tag"):
        if field in case.about and not truth(case.about[field], field):
            reason = "a completion that people disliked is not a demonstration"
            raise BadRow(field, f"is false: {reason}")


def _document(case: Case, split: str, name: str, place: str) -> Document:
    text = case.asked.text
    start, length = case.about.get("answer_start"), len(text)
    if start is not None and (type(start) is not int or not 0 < start < length):
        allowed = f"must be a position inside the text, 1 to {length - 1}"
        raise BadRow("answer_start", f"is {shown(str(start))} but {allowed}")
    return Document(name, text, fields.identifier(case.about, "family"), split, start, place)
