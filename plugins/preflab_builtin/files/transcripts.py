"""Texts as the one text that a causal LM reads: transcripts of several turns, and an instruction
with its input.

Conversations have a plain transcript in the form of HH-RLHF, so that people and filters read both
alike: a system message first and without a label, then a blank line, "Human:" or "Assistant:", a
space and the content, turn by turn. A prompt ends with "Assistant:". A single instruction goes into
the Alpaca templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from preflab.records import Message
from preflab.rows import BadRow
from preflab_builtin.files.config import Template

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_LABELS = {"system": "", "user": f"{HUMAN} ", "assistant": f"{ASSISTANT} "}
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


class Asked(NamedTuple):
    """What is asked: a text, or a conversation (then ``text`` is its plain transcript). rendered:
    the text was made with a model's chat template (`preflab.records.Prompt`)."""

    text: str
    messages: tuple[Message, ...] = ()
    rendered: bool = False


def rendered(conversation: Sequence[Message]) -> str:
    """The conversation as a transcript."""
    return "".join(f"{_LABELS[message.role]}{message.content}" for message in conversation)


def parsed(transcript: str) -> tuple[Message, ...]:
    """The messages of a transcript in the form of HH-RLHF, without the turn that it opens."""
    opened = transcript.removesuffix(ASSISTANT)
    system, *parts = re.split(r"\n\n(Human|Assistant): ?", opened)
    said = [Message("system", system)] if system.strip() else []
    roles = {"Human": "user", "Assistant": "assistant"}
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return (*said, *(Message(roles[label], content) for label, content in pairs))


def shared(one: str, other: str) -> int:
    """The number of characters with which both texts begin."""
    least, most = 0, min(len(one), len(other))
    while least < most:  # by halves, because a loop over characters is slow
        middle = (least + most + 1) // 2
        if one.startswith(other[:middle]):
            least = middle
        else:
            most = middle - 1
    return least


def parted(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt and two responses of two transcripts (HH-RLHF): the prompt is what they share up to
    the last "Assistant:"."""
    at = chosen.rfind(ASSISTANT, 0, shared(chosen, rejected))
    if at < 0:
        reason = f"and rejected share no {ASSISTANT!r} turn, where the prompt would end"
        raise BadRow("chosen", f"{reason}; give 'prompt'")
    end = at + len(ASSISTANT)
    for field, transcript in (("chosen", chosen), ("rejected", rejected)):
        if HUMAN in transcript[end:] or ASSISTANT in transcript[end:]:
            raise BadRow(field, "the two transcripts differ before their last turn")
    return chosen[:end], chosen[end:], rejected[end:]


def instructed(instruction: str, given: str, template: Template) -> str:
    """An instruction (and its input, if not blank) as a prompt."""
    if template is Template.plain:
        return f"{instruction}\n\n{given}\n\n" if given.strip() else f"{instruction}\n\n"
    if given.strip():
        return _WITH_INPUT.format(instruction=instruction, input=given)
    return _WITHOUT_INPUT.format(instruction=instruction)


def root(prompt: str, opening: str = "") -> str:
    """What a prompt begins with: the first turn of a transcript, else all of it. Prompts with the
    same root come from one dialogue and must not be in different splits. opening: turns with which
    most prompts of the file begin (few-shot examples): the turn after them counts.

    >>> root("\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant:")
    '\\n\\nHuman: a'
    """
    if HUMAN not in prompt:
        return prompt
    if not opening or not prompt.startswith(opening + HUMAN):
        return prompt.partition(ASSISTANT)[0]
    return opening + prompt[len(opening) :].partition(ASSISTANT)[0]


def openings(prompt: str) -> list[tuple[str, str]]:
    """All beginnings of a transcript that end with an answer, each with the turn after it."""
    found, at = [], prompt.find(ASSISTANT)
    while at >= 0 and (at := prompt.find(HUMAN, at)) >= 0:
        found.append((prompt[:at], prompt[at:].partition(ASSISTANT)[0]))
        at = prompt.find(ASSISTANT, at)
    return found


def shared_opening(prompts: Iterable[str]) -> str:
    """The longest beginning that most transcripts have in common and go on from with different
    turns, as after few-shot examples; "" if there is none. The turns of one dialogue go on with
    the same turn, and have none."""
    after: dict[str, list[str]] = {}
    count = 0
    for prompt in prompts:
        count += HUMAN in prompt
        for beginning, turn in openings(prompt):
            after.setdefault(beginning, []).append(turn)
    shared = [
        beginning
        for beginning, turns in after.items()
        if len(turns) > max(1, count / 2) and len(set(turns)) > len(turns) / 2
    ]
    return max(shared, key=len, default="")
