"""What a policy reads about whose preferences count: a text before the prompt, and how it is taken
away again for those who judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from preflab.errors import UserError
from preflab.prompts import check_prefix, with_prefix
from preflab.records import Prompt, Tokenizer

ASKED_FOR, PREFIX = "asked for group", "prefix of group"
"""Notes of a prompt that is asked for a group: the name of the group, and what the policy reads."""


def prefixes(template: str, names: Sequence[str]) -> dict[str, str]:
    """The prefix of each group. template: ``{group}`` stands for its name, ``{number}`` for its
    place in alphabetical order, from 1; "" is no prefix.

    >>> prefixes("{number} : ", ["nurses", "doctors"])
    {'doctors': '1 : ', 'nurses': '2 : '}
    """
    return {name: filled(template, name, i) for i, name in enumerate(sorted(names), 1)}


def filled(template: str, group: str, number: int) -> str:
    """The prefix of one group; `KeyError`, `ValueError` or `IndexError` for other places in the
    template."""
    return template.format_map({"group": group, "number": number})


def asked(prompt: Prompt, group: str, prefix: str) -> Prompt:
    """The prompt with the prefix of a group in front, and a note of the group. In a conversation it
    is in front of the first message. A prompt is a text: one that begins as the prefix does gets it
    all the same."""
    notes = {**prompt.notes, ASKED_FOR: group, PREFIX: prefix}
    return replace(with_prefix(prompt, prefix), notes=notes)


def first_text(prompt: Prompt) -> str:
    """The text, or that of the first message of a conversation."""
    return prompt.messages[0].content if prompt.messages else prompt.text


def group_of(prompt: Prompt) -> str:
    """The group for which a prompt is asked."""
    return str(prompt.notes[ASKED_FOR])


def plain(prompt: Prompt) -> Prompt:
    """The prompt as it was before `asked`."""
    notes = {key: value for key, value in prompt.notes.items() if key not in (ASKED_FOR, PREFIX)}
    return replace(without(prompt, str(prompt.notes[PREFIX])), notes=notes)


def without(prompt: Prompt, prefix: str) -> Prompt:
    """The prompt less a text with which it begins."""
    messages = prompt.messages
    if messages:
        first = replace(messages[0], content=messages[0].content.removeprefix(prefix))
        messages = (first, *messages[1:])
    return replace(prompt, text=prompt.text.removeprefix(prefix), messages=messages)


def named(prompt: Prompt, known: Mapping[str, str]) -> str | None:
    """The group whose prefix a person has typed in front of a prompt; None if there is none.
    known: prefixes by group."""
    text = first_text(prompt)
    return next(
        (name for name, prefix in known.items() if prefix and text.startswith(prefix)), None
    )


def check_words(tokenizer: Tokenizer, words: Mapping[str, str], key: str) -> None:
    """`UserError` for a prefix that the model has no tokens for, or that two groups have. key: of
    the option."""
    for prefix in words.values():
        read = tokenizer.decode(tokenizer.encode(prefix))
        if read.split() != prefix.split():
            raise UserError(
                f"{key}: the model has no tokens for all of {prefix!r}. It reads: {read!r}. In a "
                "closed vocabulary take words of it, for example '{number} : '."
            )
        check_prefix(tokenizer, prefix, key)
    told = [prefix for prefix in words.values() if prefix]
    if any(one != other and other.startswith(one) for one in told for other in told):
        raise UserError(
            f"{key}: the prefix of one group is the beginning of another's: {', '.join(told)}. End "
            "it with a sign that closes it, as '{number} : ' does."
        )
