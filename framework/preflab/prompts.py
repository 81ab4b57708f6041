"""What a model is asked, and the tokens that it reads; import both from `preflab.records`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from preflab.errors import UserError


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. role: "system" (only first), "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked. Without ``messages``, ``text`` is exactly what it sees, byte for
    byte, after the tokens that begin every row of its tokenizer.

    ``messages`` is a conversation that the assistant is to continue: the model sees it through its
    chat template, and ``text`` is its plain transcript, for people, judges and filters.
    ``rendered``: ``text`` was made with the model's chat template beforehand, and what is spelled
    like a special token in it is that token (otherwise it is text). ``place`` is where the prompt
    was read, as ``file:line``, for messages to people.

    ``group`` is the unit, next to the user, that must not cross splits (a debate, a document);
    ``notes`` is for judges (the task behind a simulated prompt) and is never shown to a model.
    ``split`` is "" until a filter assigns one.
    """

    id: str
    text: str
    user: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""
    split: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    rendered: bool = False
    place: str = field(default="", compare=False)


def with_prefix(prompt: Prompt, prefix: str) -> Prompt:
    """The prompt with a text in front; in a conversation it comes before the first message's."""
    messages = prompt.messages
    if messages:
        first = replace(messages[0], content=f"{prefix}{messages[0].content}")
        messages = (first, *messages[1:])
    return replace(prompt, text=f"{prefix}{prompt.text}", messages=messages)


def whole_text(prompt: str, response: str) -> str:
    """The texts of a prompt and its response in one, for a model or a function that reads texts.

    A response begins with the white space that stands between them, with two exceptions, which get
    a space: a tokenizer of words, of which marks are words, and a turn of a conversation, in front
    of which stands who speaks. That is read off the texts alone: it is a guess where only they are
    known, and a word that follows a word is taken to go on with it.

    >>> whole_text("The film was grea", "t fun"), whole_text("user : hi . assistant :", "hello")
    ('The film was great fun', 'user : hi . assistant : hello')
    >>> whole_text("Hi\\n\\nAssistant:", "Hello"), whole_text("visit example.", "com")
    ('Hi\\n\\nAssistant: Hello', 'visit example.com')
    """
    mark, first = prompt[-1:], response[:1]
    is_word = mark in tuple(".,:;?!") and prompt[-2:-1].isspace()
    if (is_word and first.isalnum()) or (mark == ":" and first.isalpha()):
        return f"{prompt} {response}"
    return f"{prompt}{response}"


class Tokenizer(Protocol):
    """Text to tokens and back, as the model that it belongs to wants it. Every row that a model
    reads begins with `encode_prompt` or `encode_document`, so that training meets the tokens that
    are met in use. ``pad_id`` may equal ``eos_id``: nothing may infer lengths from ids."""

    @property
    def pad_id(self) -> int:
        """Fills unused slots."""

    @property
    def eos_id(self) -> int:
        """Ends a document, and a response to a text."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a response when they are sampled; ``eos_id`` is one of them."""

    @property
    def size(self) -> int:
        """Number of token ids, V."""

    @property
    def digest(self) -> str:
        """Hash of the tokenizer: equal digests give equal tokens."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text within a row: nothing is put in front of it, no end follows."""

    def encode_document(self, text: str) -> list[int]:
        """A row that is one text: what begins a row (BOS, if the model has one), the text, the end
        token."""

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """What the model reads before it responds: what begins a row and the text; or, for a
        conversation, what the model's chat template makes of it, with the generation prompt.
        `UserError` for a conversation that the template refuses."""

    def encode_response(self, prompt: Prompt, response: str) -> list[int]:
        """A response as it follows `encode_prompt`, with the token that ends it."""

    def encode_turns(self, prompt: Prompt, response: str) -> tuple[list[int], list[bool]]:
        """`encode_prompt` and `encode_response` in one row, and which of its tokens the assistant
        wrote, in earlier turns too, the tokens that end its turns included. `UserError` where the
        chat template shows earlier turns in another form than that in which they were written."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out."""

    def decode_response(self, prompt: Prompt, ids: Sequence[int]) -> str:
        """The text of a response to a prompt, without its end token: what `encode_response` takes.
        For a conversation it is the content of a message."""

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a model folder."""


def check_words(tokenizer: Tokenizer, text: str, key: str) -> None:
    """`UserError` for a text that a model has no tokens for. key: of the options."""
    read = tokenizer.decode(tokenizer.encode(text))
    if read.split() != text.split():
        raise UserError(f"{key}: the model has no tokens for all of {text!r}. It reads: {read!r}.")


def check_prefix(tokenizer: Tokenizer, prefix: str, key: str) -> None:
    """`UserError` for a text to stand in front of others that a model has no tokens for, or that
    without a space at its end makes one word with theirs, for which it has none. key: of the
    options."""
    check_words(tokenizer, prefix, key)
    twice = prefix * 2  # it is a text of which every word is known
    read = tokenizer.decode(tokenizer.encode(twice))
    if read.split() != twice.split():
        raise UserError(
            f"{key}: {prefix!r} makes one word with the text behind it, which the model has no "
            f"token for: give it a space at its end, {prefix + ' '!r}."
        )


def unread_prefix(tokenizer: Tokenizer, prefix: str, key: str) -> Iterator[str]:
    """A sentence on a text to stand in front of others that a model has no tokens for; `UserError`
    for one that it can read, and not with theirs behind it (`check_prefix`). For what only asks:
    the questions may hold unknown words, too. key: of the options."""
    read = tokenizer.decode(tokenizer.encode(prefix))
    if read.split() == prefix.split():
        check_prefix(tokenizer, prefix, key)
    else:
        yield f"{key} is {prefix!r}, of which the policy reads {read!r}."
