"""The last turn of a prompt, which is what its user asks."""

from __future__ import annotations

import re

from preflab.records import Prompt

_USER = re.compile(r"(?:\A|\n)\s*(?:human|user)\s*:", re.IGNORECASE)
_CUE = re.compile(r"\s(?:assistant|ai|bot)\s*:\s*\Z", re.IGNORECASE)


def last_turn(prompt: Prompt) -> tuple[str, str]:
    """What stands before the last turn of the user, and that turn: of a conversation, or of a
    transcript with Human and Assistant (or User and Assistant). Of any other text all of it is the
    turn.

    >>> last_turn(Prompt("1", "Human: Hi.\\n\\nAssistant: Hello!\\n\\nHuman: Tea?\\n\\nAssistant:"))
    ('Human: Hi.\\n\\nAssistant: Hello!', ' Tea?\\n')
    """
    if prompt.messages:
        last = max((i for i, m in enumerate(prompt.messages) if m.role == "user"), default=0)
        messages = [f"{m.role}: {m.content}" for m in prompt.messages]
        turn = prompt.messages[last].content
        return "\n".join([*messages[:last], *messages[last + 1 :]]), turn
    lower = prompt.text.lower()
    turns = list(_USER.finditer(prompt.text)) if "human" in lower or "user" in lower else []
    if not turns:
        return "", prompt.text
    cut = turns[-1]
    return prompt.text[: cut.start()], _CUE.sub("", prompt.text[cut.end() :])
