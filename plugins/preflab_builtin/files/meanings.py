"""What a column that nobody reads would have said, by its name and its value."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from preflab_builtin.files.names import BETTER, FACTS, WORSE, words_of


class Kind(Enum):
    """What a column holds that would change what the row says."""

    TOLD = "what the model is told"
    SAID = "a part of the conversation"
    ABOUT = "text that the answer is about"
    TOOLS = "tools"
    MEDIA = "images, sound or files"
    WEIGHT = "a weight in the loss"
    REASONING = "the model's reasoning, a part of the answer"
    JUDGED = "a judgement of the answer"
    ANSWER = "an answer"
    SPEAKER = "who speaks"


_WORDS = {
    Kind.TOLD: (
        *("system", "sys", "persona", "character", "instruction", "instructions", "preamble"),
        *("guidelines", "constitution", "principle", "demonstrations", "examples", "shots"),
        *("scenario", "situation", "setting", "profile", "memory", "rules", "role", "roles"),
    ),
    Kind.SAID: (
        *("history", "context", "contexts", "dialogue", "dialog", "conversation", "previous"),
        *("conversations", "messages", "message", "turns", "turn", "thread", "chat", "earlier"),
        *("prompt", "question", "query", "input", "inputs", "prefix", "suffix", "followup"),
    ),
    Kind.ABOUT: (
        *("passage", "passages", "article", "document", "documents", "paragraph", "background"),
        *("knowledge", "evidence", "premise", "story", "post", "snippet", "snippets", "quotes"),
        *("facts", "excerpt", "transcript", "table", "code"),
    ),
    Kind.TOOLS: (
        *("tool", "tools", "function", "functions", "api", "apis", "plugins", "observation"),
        *("observations",),
    ),
    Kind.MEDIA: (
        *("image", "images", "img", "picture", "pictures", "photo", "photos", "video", "videos"),
        *("audio", "audios", "sound", "speech", "pixel", "attachment", "attachments", "files"),
    ),
    Kind.WEIGHT: (
        "weight",
        "weights",
        "mask",
        "masks",
        "masked",
        "margin",
        "trainable",
        "train",
        "loss",
    ),
    Kind.REASONING: (
        *("reasoning", "thinking", "thought", "thoughts", "cot", "scratchpad", "think"),
    ),
    Kind.JUDGED: (
        *(*BETTER, *WORSE, "label", "labels", "vote", "undesirable", "desirable", "liked", "like"),
        *("rank", "ranks", "ranking", "rankings", "flagged", "deleted", "dislike", "upvoted"),
        *("thumbs", "thumb", "feedback", "downvoted", "approved", "accepted", "correct", "wrong"),
        *("good", "bad", "acceptable", "harmful", "toxic", "unsafe", "safe"),
    ),
    Kind.ANSWER: (
        *("completion", "completions", "response", "responses", "answer", "answers", "output"),
        *("outputs", "reply", "replies", "generation", "generations", "solution", "refusal"),
    ),
    Kind.SPEAKER: ("name",),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}
_FACTS_ABOUT = FACTS | {
    *("index", "idx", "key", "sha", "sha256", "md5", "fingerprint", "num", "number", "len"),
    *("length", "lengths", "tokens", "score", "scores", "rating", "ratings", "count", "counts"),
    *("quality", "difficulty", "perplexity", "status", "toxicity"),
}
"""Words that make a column a fact about what the rest of its name says: question_id."""
_FACTS_FIRST = {
    *("id", "hash", "index", "num", "number", "len", "length", "count", "score", "scores"),
    *("rating", "ratings", "source", "url", "type", "date", "time", "timestamp", "tokens"),
}
"""The same at the start of a name: score_chosen."""
_DISTINCTIVE = (
    *("system", "history", "context", "dialog", "dialogue", "conversation", "image", "audio"),
    *("video", "instruction", "passage", "persona", "reasoning", "prompt"),
)
"""Words that are found without a space or line between them and the next: chathistory."""
_ALONE = {
    *("good", "bad", "like", "correct", "wrong", "safe", "unsafe", "harmful", "toxic", "accepted"),
    *("best", "win", "winning", "pick", "picked", "selected", "selection", "decision", "lost"),
    *(
        "worse",
        "worst",
        "code",
        "table",
        "facts",
        "role",
        "roles",
        "setting",
        "memory",
        "rules",
        "profile",
        "vote",
    ),
}
"""Words that tell something only where they are the whole name, or all of it but "is"."""
_MASKS = {"mask", "masks", "masked"}
_INSIDE = {
    "channel": (Kind.REASONING, ("final",)),
    "recipient": (Kind.TOOLS, ("all",)),
    "rating": (Kind.JUDGED, ()),
}
"""Keys of messages, what they hold, and the values with which they say nothing."""
_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pdf", ".wav", ".mp3"),
    *(".flac", ".ogg", ".m4a", ".mp4", ".webm", ".mov", ".avi"),
)
_ORIGINS = {"source", "sources", "origin", "url", "urls", "link", "links", "citation"}


def meaning(name: str, value: Any, inside: bool = False) -> Kind | None:
    """What a column holds, or None for a fact about the row (an id, a source, a score). inside: an
    object of the row, as a message.

    >>> meaning("chat_history", "...").value, meaning("source", "web"), meaning("question_id", 5)
    ('a part of the conversation', None, None)
    """
    if inside and name in _INSIDE:
        kind, harmless = _INSIDE[name]
        return None if value in harmless else kind
    if isinstance(value, str):
        if value[-5:].lower().endswith(_ENDINGS) and _is_file(name, value):
            return Kind.MEDIA
        return _meaning_of_like(name, "", inside)
    if isinstance(value, (int, float)):
        same = value if isinstance(value, bool) else int(value == 1)
        return _meaning_of_like(name, same, inside)
    if _is_media(value):
        return Kind.MEDIA
    return Kind.SAID if is_messages(value) else _meaning(name, value, inside)


@lru_cache(maxsize=4096, typed=True)
def _meaning_of_like(name: str, value: Any, inside: bool) -> Kind | None:
    """The same for any text, and for any number that is not 1."""
    return _meaning(name, value, inside)


def _meaning(name: str, value: Any, inside: bool) -> Kind | None:
    words = words_of(str(name))
    alone = len([word for word in words if word not in ("is", "was")]) == 1
    telling = (word for word in words if alone or word not in _ALONE)
    kinds = [kind for word in telling if (kind := _kind(word)) is not None]
    if Kind.WEIGHT in kinds and (inside or words[-1] not in ("train", "loss")):
        says_all = value in (1, True) and not _MASKS.intersection(words)
        return None if says_all else Kind.WEIGHT
    kinds = [k for k in kinds if k is not Kind.WEIGHT]
    if not (inside and words[-1] == "name"):
        kinds = [k for k in kinds if k is not Kind.SPEAKER]
    if not kinds or words[0] in ("num", "n", "has"):
        return None
    if Kind.MEDIA not in kinds and (words[-1] in _FACTS_ABOUT or words[0] in _FACTS_FIRST):
        return None
    if isinstance(value, (int, float)):  # a number or a flag is no text; it may be a judgement
        return Kind.JUDGED if Kind.JUDGED in kinds else None
    return kinds[0]


def _kind(word: str) -> Kind | None:
    if word in _KINDS:
        return _KINDS[word]
    inner = (w for w in _DISTINCTIVE if word.startswith(w) or word.endswith(w))
    found = next(inner, None)
    return None if found is None else _KINDS[found]


def is_messages(value: Any) -> bool:
    """Whether a value is a list of messages."""
    first = value[0] if isinstance(value, (list, tuple)) and value else None
    return isinstance(first, Mapping) and (
        {"role", "content"} <= first.keys() or {"from", "value"} <= first.keys()
    )


def _is_file(name: str, value: str) -> bool:
    """Whether a text that ends like a file of images, sound or pages is the name of one, and not of
    what the row comes from."""
    words = words_of(str(name))
    return "\n" not in value and value.count(" ") < 3 and _ORIGINS.isdisjoint(words)


def _is_media(value: Any) -> bool:
    """Bytes, or an image as `datasets` holds it: {bytes, path}; or a list of such."""
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return isinstance(first, (bytes, bytearray)) or (
        isinstance(first, Mapping) and {"bytes", "path"} <= first.keys()
    )
