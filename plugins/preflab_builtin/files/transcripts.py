"""Several turns, or an instruction with its input, as the one text that a causal LM reads.

Chat messages are written in the form of the HH-RLHF transcripts, so that both can be mixed: a
system message first and without a label, then a blank line, "Human:" or "Assistant:", a space and
the content, turn by turn. A prompt ends with "Assistant:", and its response begins with the space.
A single instruction goes into the Alpaca templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preflab.errors import nearest
from preflab.rows import BadRow, fields, shown, type_name
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

Turn = tuple[str, str]
"""Role (system, user, assistant) and content."""


def turns(value: Any, field: str) -> list[Turn]:
    """The messages of a conversation, checked."""
    if not isinstance(value, (list, tuple)) or not value:
        raise BadRow(field, f"is {type_name(value)} but must be a list of messages, not empty")
    conversation = []
    for i, message in enumerate(value):
        place = f"{field}[{i}]"
        if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
            raise BadRow(place, "must be a message {role, content}")
        role = message["role"]
        if role not in _LABELS:
            raise BadRow(f"{place}.role", f"is '{shown(str(role))}'. {nearest(str(role), _LABELS)}")
        if role == "system" and i:
            raise BadRow(f"{place}.role", "is 'system', which can only come first")
        conversation.append((role, fields.checked_text(message["content"], f"{place}.content")))
    return conversation


def rendered(conversation: Sequence[Turn]) -> str:
    """The conversation as a transcript."""
    return "".join(f"{_LABELS[role]}{content}" for role, content in conversation)


def asked(conversation: Sequence[Turn], field: str) -> str:
    """The conversation as a prompt: the assistant is to speak next."""
    if conversation[-1][0] != "user":
        last = conversation[-1][0]
        raise BadRow(field, f"ends with the {last}, but a prompt must end with the user")
    return rendered(conversation) + ASSISTANT


def answered(conversation: Sequence[Turn], field: str) -> tuple[str, str]:
    """Prompt and response of a conversation whose last message is the assistant's."""
    if conversation[-1][0] != "assistant":
        last = conversation[-1][0]
        raise BadRow(field, f"ends with the {last}, but must end with the assistant's response")
    if len(conversation) == 1:
        raise BadRow(field, "holds the response alone, without a question")
    return asked(conversation[:-1], field), f" {conversation[-1][1]}"


def parted(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt and two responses of two transcripts (HH-RLHF): the prompt is what they share up to
    the last "Assistant:"."""
    shared = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
        min(len(chosen), len(rejected)),
    )
    at = chosen.rfind(ASSISTANT, 0, shared)
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


def root(prompt: str) -> str:
    """What a prompt begins with: the first turn of a transcript, else all of it. Prompts with the
    same root come from one dialogue and must not be in different splits."""
    return prompt.partition(ASSISTANT)[0] if HUMAN in prompt else prompt
