"""The columns of a row that nobody reads: those that would change what the row says are refused by
name; the others are counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from preflab.rows import BadRow, shown
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.values import blank

_MEDIA = "images, sound or files"
_SPEAKER = "who speaks"
_WEIGHT = "a weight, which would change the loss"
_MASKS = {"mask", "masks"}
_MEANINGS = {
    "what the model is told": (
        *("system", "persona", "character", "instruction", "instructions", "preamble"),
        *("guidelines", "constitution", "principle", "demonstrations", "examples", "shots"),
    ),
    "a part of the conversation": (
        *("history", "context", "contexts", "dialogue", "dialog", "conversation"),
        *("conversations", "messages", "message", "turns", "turn", "previous", "thread", "chat"),
        *("prompt", "question", "query", "input", "inputs", "prefix", "suffix", "followup"),
    ),
    "text that the answer is about": (
        *("passage", "passages", "article", "document", "documents", "paragraph", "background"),
        *("knowledge", "evidence", "premise", "story", "post", "snippet", "snippets", "quotes"),
    ),
    "tools": (
        *("tool", "tools", "function", "functions", "api", "apis", "plugins"),
        "observation",
    ),
    _MEDIA: (
        *("image", "images", "img", "picture", "pictures", "photo", "photos", "video", "videos"),
        *("audio", "audios", "sound", "speech", "pixel", "attachment", "attachments", "files"),
    ),
    _WEIGHT: (*("weight", "weights", "mask", "masks", "margin", "trainable", "train", "loss"),),
    "the model's reasoning, which is a part of the answer": (
        *("reasoning", "thinking", "thought", "thoughts", "cot", "scratchpad", "think"),
    ),
    "a judgement of the row": (
        *("label", "labels", "preference", "preferred", "winner", "choice", "better"),
        *("chosen", "rejected", "rank", "ranks", "ranking", "rankings", "flagged", "deleted"),
    ),
    "an answer": (
        *("completion", "completions", "response", "responses", "answer", "answers", "output"),
        *("outputs", "reply", "replies", "generation", "generations", "solution"),
    ),
    _SPEAKER: ("name", "speaker", "author"),
}
_KINDS = {word: kind for kind, words in _MEANINGS.items() for word in words}
_JUDGED = ("a judgement of the row", "an answer")
_OF_OTHER_TYPES = ("completion", "completions", "chosen", "rejected")
_FACTS_ABOUT = {
    *(
        "id",
        "ids",
        "uuid",
        "hash",
        "index",
        "idx",
        "key",
        "sha",
        "sha256",
        "md5",
        "fingerprint",
        "count",
        "counts",
    ),
    *("num", "number", "len", "length", "lengths", "tokens", "score", "scores", "rating"),
    *("ratings", "source", "sources", "dataset", "origin", "url", "link", "lang", "language"),
    *("type", "category", "domain", "topic", "task", "date", "time", "timestamp", "created"),
    *("model", "models", "version", "license", "quality", "difficulty", "perplexity", "status"),
    *("metadata", "meta", "stats", "logprobs", "probability", "toxicity", "title"),
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Remark(Enum):
    """What readers remark about single rows: the sentence about the file, and whether it is said
    only if all rows are so."""

    UPSIDE_DOWN = (
        "in {n} of {of} rows the score of 'chosen' is below that of 'rejected': are they swapped?",
        False,
    )
    SCORES_AS_RANKS = (
        "the scores of all {of} rows are 1, 2, 3, ... once each, and the highest is taken for the "
        "best. If 1 is the best, they are ranks.",
        True,
    )
    NO_INPUT = (
        "in {n} of {of} rows the input is a word for nothing, as 'nan', and the model reads it.",
        False,
    )
    LIKED = ("the label is true in all {of} rows: is it the right column?", True)
    BEGINS = (
        "in {n} of {of} rows the answers begin with their prompt, which is then read twice.",
        False,
    )
    TAKEN_OFF = (
        "in {n} of {of} rows the answers began with their prompt: it was taken off, so that it is "
        "not read twice.",
        False,
    )

    def __init__(self, sentence: str, of_all: bool) -> None:
        self.sentence, self.of_all = sentence, of_all


@dataclass
class Reading:
    """What the rows of one file are read with: its options, and the counts of what is not read.
    unread: rows by the name of a harmless column. of_row: such columns of the row at hand. names:
    all columns of the file, where the config renames or ignores some. shapes: rows by shape.
    remarks: rows by what a reader remarked. values: a few values of the columns user and group.
    repeats: answers begin with their prompt, which is to be taken off."""

    settings: RowSettings
    unread: Counter[str] = field(default_factory=Counter)
    of_row: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    shapes: Counter[str] = field(default_factory=Counter)
    remarks: Counter[Remark] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=dict)
    repeats: bool = False

    def view(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row as the config wants it read: without what it ignores, its columns under the names
        that the shapes have; `BadRow` if there are two of one name then."""
        ignored, renamed = self.settings.ignore, self.settings.renamed
        if not ignored and not renamed:
            return row
        kept = {name: value for name, value in row.items() if name not in ignored}
        sources = {name for name, _ in renamed}
        named = {usual: kept[name] for name, usual in renamed if name in kept}
        self.names.update(row)
        others = {name: value for name, value in kept.items() if name not in sources}
        both = next((name for name in named if not blank(others.get(name))), None)
        if both is not None:
            source = next(name for name, usual in renamed if usual == both)
            cure = f"If it does not count: {self.settings.option(f'ignore=[{both}]')}"
            raise BadRow(both, f"and {shown(source)}, named by the config, are both there. {cure}")
        return {**others, **named}

    def rest(self, values: Mapping[str, Any], read: Collection[str], where: str = "") -> None:
        """Look at what is left of a row, or of an object in it, when ``read`` was read; `BadRow`
        for something that would change what it says. where: the object's place, with a dot."""
        for name, value in values.items():
            if name in read or blank(value):
                continue
            kind = meaning(name, value, inside=bool(where))
            if kind and not self._beside(name, kind):
                raise BadRow(f"{where}{shown(name)}", f"holds {kind}, {self._cure(name, where)}")
            if not kind or self.settings.record_type != "prompts":
                self.of_row.add(_label(where, name))

    def _cure(self, name: str, where: str) -> str:
        option = self.settings.option
        if where:
            return f"which is not read here. Leave such rows out: {option('on_bad_row=skip')}"
        return (
            "which is not read here. Put it into a column that is read (README.md of files), "
            f"or say that it does not count: {option(f'ignore=[{shown(name)}]')}"
        )

    def _beside(self, name: str, kind: str) -> bool:
        """Whether a column with content is beside the point: answers where prompts are read, a
        question where documents are, what rows of another record type have."""
        record_type = self.settings.record_type
        return (
            (record_type == "prompts" and kind in _JUDGED)
            or (record_type == "documents" and kind not in (_MEDIA, _WEIGHT))
            or name in _OF_OTHER_TYPES
        )


@lru_cache(maxsize=4096)
def _label(where: str, name: str) -> str:
    """A column as it is counted: the same for every item of a list."""
    return shown(re.sub(r"\[\d+\]", "[]", where) + name)


def meaning(name: str, value: Any, inside: bool = False) -> str:
    """What a column that nobody reads would have said, or "" for a fact about the row (an id, a
    source, a score). inside: an object of the row, as a message.

    >>> meaning("chat_history", "..."), meaning("source", "web"), meaning("question_id", 5)
    ('a part of the conversation', '', '')
    """
    if isinstance(value, str):
        return _meaning_of_like(name, "", inside)
    if isinstance(value, (int, float)):
        same = value if isinstance(value, bool) else int(value == 1)
        return _meaning_of_like(name, same, inside)
    return _meaning(name, value, inside)


@lru_cache(maxsize=4096, typed=True)
def _meaning_of_like(name: str, value: Any, inside: bool) -> str:
    """The same for any text, and for any number that is not 1."""
    return _meaning(name, value, inside)


def _meaning(name: str, value: Any, inside: bool) -> str:
    if _is_media(value):
        return _MEDIA
    words = [w for w in re.split(r"[^a-z0-9]+", _CAMEL.sub(" ", str(name)).lower()) if w]
    kinds = [_KINDS[word] for word in words if word in _KINDS]
    if _is_messages(value):
        return "a part of the conversation"
    if _WEIGHT in kinds and (inside or words[-1] not in ("train", "loss")):
        return "" if value in (1, True) and not _MASKS.intersection(words) else _WEIGHT
    if _SPEAKER in kinds and not (inside and words[-1] == "name"):
        kinds = [kind for kind in kinds if kind != _SPEAKER]
    if not kinds or kinds == [_WEIGHT] or (isinstance(value, bool) and len(words) > 1):
        return ""
    if _MEDIA not in kinds and {words[0], words[-1]} & _FACTS_ABOUT:
        return ""
    return kinds[0] if words[0] not in ("num", "n", "is", "has") else ""


def _is_messages(value: Any) -> bool:
    first = value[0] if isinstance(value, (list, tuple)) and value else None
    return isinstance(first, Mapping) and (
        {"role", "content"} <= first.keys() or {"from", "value"} <= first.keys()
    )


def _is_media(value: Any) -> bool:
    """Bytes, or an image as `datasets` holds it: {bytes, path}; or a list of such."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return isinstance(first, (bytes, bytearray)) or (
        isinstance(first, Mapping) and {"bytes", "path"} <= first.keys()
    )
