"""Rows to records: ids, users, groups and splits, and what no record may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from preflab.records import Demonstration, Document, Prompt, Ranking, Record, RecordType
from preflab_builtin.files import fields, shapes, transcripts
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.reading import type_name
from preflab_builtin.files.rows import BadRow, Row
from preflab_builtin.files.shapes import Case
from preflab_builtin.files.strict_json import shown


class Builder:
    """Turns the rows of one file into records of one type.

    A row without an id is named after its prompt's text, so that one prompt has one id in every file. Prompts and
    documents have different ids; several demonstrations or rankings may share one if their prompts' texts are equal.
    """

    def __init__(self, record_type: RecordType, config: FilesConfig) -> None:
        self._type, self._config = record_type, config
        self._seen: dict[str, tuple[str, str]] = {}
        self._copies: Counter[str] = Counter()

    def records(self, row: Row) -> list[Record]:
        """The records of a row: all of them, or `BadRow` and none."""
        if row.problem is not None:
            raise row.problem
        found: list[Record] = []
        added: list[str] = []
        try:
            for case in shapes.cases(row.values, self._type, self._config.template):
                found.append(self._record(case, row.place, added))
        except BadRow:
            for name in added:
                del self._seen[name]
            raise
        return found

    def _record(self, case: Case, place: str, added: list[str]) -> Record:
        if self._type == "documents":
            return _document(
                case, fields.split(case.about, self._config.split), self._id(case, place, added)
            )
        if self._type == "demonstrations" and not case.responses:
            raise BadRow("completion", "is missing")
        if self._type == "rankings":
            _check_ranking(case)
        prompt = self._prompt(case, place, added)
        if self._type == "prompts":
            return prompt
        if self._type == "demonstrations":
            return Demonstration(prompt, case.responses[0])
        return Ranking(prompt, case.responses, case.preferences, case.labeler, case.labeler_group)

    def _prompt(self, case: Case, place: str, added: list[str]) -> Prompt:
        about, config = case.about, self._config
        user = fields.chosen_name(about, config.user, "user")
        group = fields.chosen_name(about, config.group, "group")
        split, tags, notes = fields.split(about, config.split), fields.tags(about), _notes(about)
        group = group or fields.text_digest(transcripts.root(case.prompt))
        return Prompt(self._id(case, place, added), case.prompt, user, tags, group, split, notes)

    def _id(self, case: Case, place: str, added: list[str]) -> str:
        text, several = (
            fields.text_digest(case.prompt),
            self._type in ("demonstrations", "rankings"),
        )
        given = fields.name(case.about, "id")
        if not given and several:
            return text
        if not given:
            self._copies[text] += 1
            return text if self._copies[text] == 1 else f"{text}-{self._copies[text]}"
        name = f"{given}{case.part}"
        if name not in self._seen:
            self._seen[name] = (place, text)
            added.append(name)
        elif not several:
            raise BadRow("id", f"'{shown(name)}' is taken: it stands at {self._seen[name][0]}")
        elif self._seen[name][1] != text:
            raise BadRow(
                "id",
                f"'{shown(name)}' is taken: it stands at {self._seen[name][0]} with another prompt",
            )
        return name


def _notes(about: Mapping[str, Any]) -> dict[str, Any]:
    value = about.get("notes")
    if value is not None and not isinstance(value, Mapping):
        raise BadRow("notes", f"is {type_name(value)} but must be an object")
    return dict(value or {})


def _check_ranking(case: Case) -> None:
    """At least two responses, and a preference among them: all tied says nothing to a reward model."""
    if len(case.responses) < 2:
        raise BadRow(
            "completions", f"has {len(case.responses)} of them, but a ranking needs at least 2"
        )
    for response in case.responses:
        if not response.strip():
            raise BadRow("response", "one of them is empty")
    if all(response == case.responses[0] for response in case.responses):
        raise BadRow("response", "all of them are the same text")
    if not case.preferences:
        raise BadRow("preferences", "all responses are tied: the row holds no preference")


def _document(case: Case, split: str, name: str) -> Document:
    start = case.about.get("answer_start")
    if start is not None and (type(start) is not int or not 0 < start < len(case.prompt)):
        reason = f"is {shown(str(start))} but must be a position inside the text, 1 to {len(case.prompt) - 1}"
        raise BadRow("answer_start", reason)
    return Document(name, case.prompt, fields.name(case.about, "family"), split, start)
