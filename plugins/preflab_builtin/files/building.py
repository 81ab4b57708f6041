"""Rows to records: ids, users, groups and splits, and what a record must not be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from preflab.records import Demonstration, Document, Prompt, Ranking, Record, pairs
from preflab.rows import BadRow, Row, fields, shown
from preflab_builtin.files import repeats, shapes, transcripts
from preflab_builtin.files.asking import Case
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import LIKED
from preflab_builtin.files.splits import Splits
from preflab_builtin.files.values import truth

_DESCRIBING = frozenset(("user", "group", "split", "tags", "notes"))
"""Columns that describe a prompt, where the config names no others."""
_SEVERAL = frozenset(",;|")
"""Signs between things that people list in a text."""


class Builder:
    """Turns the rows of one file into records of one type.

    A row without an id is named after its prompt's text, so that one prompt has one id in every
    file. Prompts and documents have different ids; several demonstrations or rankings may share one
    if their prompts' texts are equal.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading, self._settings = reading, reading.settings
        self._type = reading.settings.record_type
        self.splits = Splits(reading.settings)
        named = (self._settings.user, self._settings.group, self._settings.split)
        self._named = any(name is not None for name in named)
        self._taken: dict[str, str] = {}
        """By id: the digest of its prompt's text and, after a space, the place of the row that has
        it: one text, because a file may have millions."""
        self._copies: Counter[str] = Counter()
        self._texts: set[int] = set()
        """Hashes of the prompts of rows with ids, where one prompt may be in several rows."""

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
                case = repeats.once(case, self.reading)
                records.append(self._record(case, rows[0].place, new_ids))
        except BadRow:
            for name in new_ids:
                del self._taken[name]
            raise
        return records

    def _record(self, case: Case, place: str, new_ids: list[str]) -> Record:
        if self._type == "documents":
            split = self.splits.of(case.about)
            name = self._id(case, fields.text_digest(case.asked.text), place, new_ids)
            return _document(case, split, name, place)
        _check_media(case, self._settings)
        if self._type == "demonstrations":
            self._check_demonstration(case)
        if self._type == "rankings":
            _check_ranking(case)
        prompt = self._prompt(case, place, new_ids)
        if self._type == "prompts":
            return prompt
        if self._type == "demonstrations":
            return Demonstration(prompt, case.responses[0], case.labeler, case.labeler_group)
        who = (case.labeler, case.labeler_group)
        return Ranking(prompt, case.responses, case.preferences, *who, case.unjudged, case.ratings)

    def _check_demonstration(self, case: Case) -> None:
        """A response that people did not dislike."""
        if not case.responses:
            raise BadRow("completion", "is missing")
        for field in LIKED:
            if field in case.about:
                if not truth(case.about[field], field):
                    reason = "a completion that people disliked is not a demonstration"
                    raise BadRow(field, f"is false: {reason}")
                self.reading.remarks[Remark.LIKED] += 1

    def _prompt(self, case: Case, place: str, new_ids: list[str]) -> Prompt:
        about, settings, asked = case.about, self._settings, case.asked
        if settings.rendered and asked.messages:
            raise BadRow(
                "messages", f"are a conversation: {settings.option('rendered=true')} is for texts"
            )
        user = group = split = ""
        tags, notes = tuple[str, ...](), dict[str, Any]()
        if self._named or not _DESCRIBING.isdisjoint(about):
            user = fields.configured_identifier(about, settings.user, "user")
            group = fields.configured_identifier(about, settings.group, "group")
            split, tags, notes = self.splits.of(about), fields.tags(about), _notes(about)
            if len(tags) == 1 and not _SEVERAL.isdisjoint(tags[0]):
                self.reading.remarks[Remark.TAGS_IN_A_TEXT] += 1
        if user and settings.user is None:
            self.reading.saw("user", user)
        if group and settings.group is None:
            self.reading.saw("group", group)
        root = transcripts.root(asked.text, self.reading.opening)
        digest = fields.text_digest(asked.text)
        group = group or (digest if root == asked.text else fields.text_digest(root))
        name = self._id(case, digest, place, new_ids)
        return Prompt(
            *(name, asked.text, user, tags, group, split, notes),
            messages=asked.messages,
            rendered=settings.rendered or asked.rendered,
            place=place,
        )

    def _id(self, case: Case, text: str, place: str, new_ids: list[str]) -> str:
        """The given id, or else ``text``, the digest of the prompt's text."""
        may_repeat = self._type in ("demonstrations", "rankings")
        try:
            given = fields.identifier(case.about, "id")
        except BadRow as error:
            reason, cure = str(error).partition(": ")[2], self._settings.option("ignore=[id]")
            raise BadRow("id", f"{reason}. If it names no prompt: {cure}") from None
        if not given and may_repeat:
            return text
        if not given:
            self._copies[text] += 1
            return text if self._copies[text] == 1 else f"{text}-{self._copies[text]}"
        name = f"{given}{case.part}"
        if name not in self._taken:
            self._taken[name] = f"{text} {place}"
            new_ids.append(name)
            if may_repeat:
                self.reading.remarks[Remark.OTHER_ID] += hash(text) in self._texts
                self._texts.add(hash(text))
            return name
        earlier_text, _, earlier_place = self._taken[name].partition(" ")
        if may_repeat and earlier_text == text:
            return name
        other = " with another prompt" if may_repeat else ""
        cure = f"If they are no ids: {self._settings.option('ignore=[id]')}"
        raise BadRow("id", f"'{shown(name)}' is taken by {earlier_place}{other}. {cure}")


_MEDIA = re.compile(r"<image>|<\|image(_\d+|_pad)?\|>|^\s*<(audio|video)>|<(audio|video)>\s*$")
"""Where an image, sound or video stood. The last two are HTML too, inside a text."""


def _check_media(case: Case, settings: RowSettings) -> None:
    asked = [message.content for message in case.asked.messages] or [case.asked.text]
    for number, text in enumerate((*asked, *case.responses)):
        if "<" not in text or (found := _MEDIA.search(text)) is None:
            continue
        reason = f"holds '{found[0].strip()}', the place of what is no text: only texts are read"
        skip = settings.option("on_bad_row=skip")
        field = "prompt" if number < len(asked) else "response"
        raise BadRow(field, f"{reason}. Leave such rows out: {skip}")


def _notes(about: Mapping[str, Any]) -> dict[str, Any]:
    """What judges are told: the column ``notes``, if it is an object. A text is a remark."""
    value = about.get("notes")
    return dict(value) if isinstance(value, Mapping) else {}


def _check_ranking(case: Case) -> None:
    """At least two different responses, and a judgement: a preference or a tie."""
    responses = case.responses
    if len(responses) < 2:
        number = len(responses)
        raise BadRow("completions", f"has {number} of them, but a ranking needs at least 2")
    if not case.sampled and not all(map(str.strip, responses)):
        raise BadRow("response", "one of them is empty")
    if responses.count(responses[0]) == len(responses):
        raise BadRow("response", "all of them are the same text")
    if not case.preferences and len(case.unjudged) == len(pairs(len(responses))):
        raise BadRow("preferences", "no two of the responses were compared")


def _document(case: Case, split: str, name: str, place: str) -> Document:
    text = case.asked.text
    start, length = case.about.get("answer_start"), len(text)
    if start is not None and (type(start) is not int or not 0 < start < length):
        allowed = f"must be a position inside the text, 1 to {length - 1}"
        raise BadRow("answer_start", f"is {shown(str(start))} but {allowed}")
    return Document(name, text, fields.identifier(case.about, "family"), split, start, place)
