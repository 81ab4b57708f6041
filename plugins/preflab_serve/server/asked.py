"""Requests for completions and for turns of a conversation, as one typed record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preflab.records import Message, Prompt
from preflab_serve.opening import conversation
from preflab_serve.server import fields
from preflab_serve.server.fields import Row, refuse

SUPPORTED = (
    *("model", "max_tokens", "temperature", "n", "stop", "seed", "stream", "stream_options"),
    *("logprobs", "user"),
)
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1, 1.0),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
}
"""Fields of both forms that are accepted with the values that change nothing."""
COMPLETION_NEUTRAL = {**NEUTRAL, "best_of": (1,), "suffix": ("",)}
CHAT_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    **NEUTRAL,
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "metadata": ({},),
}
MOST_SAMPLES, MOST_PROMPTS, MOST_RESPONSES = 128, 2048, 2048
MOST_MODERATED = 50_000
"""Characters of a text to be moderated."""
MOST_TOKENS = 1_000_000
MOST_NAME = 1000
"""Characters of the name of a model."""
LEAST_TEMPERATURE = 1e-4
"""Above 0: logits that are divided by less are no numbers any more."""
SEEDS = 2**63 - 1
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    prompts: each a record, or token ids as they are; max_tokens, temperature: None is the run's
    own; seed: None is a fresh one; logprobs: how many of the likeliest tokens stand beside each
    token, None for no log-probabilities; user: who asks, in the words of the client.
    """

    model: str
    prompts: tuple[Prompt | tuple[int, ...], ...]
    chat: bool
    max_tokens: int | None = None
    temperature: float | None = None
    n: int = 1
    stops: tuple[str, ...] = ()
    seed: int | None = None
    echo: bool = False
    logprobs: int | None = None
    stream: bool = False
    usage: bool = False
    user: str = ""

    @property
    def responses(self) -> int:
        """How many are wanted in all."""
        return self.n * len(self.prompts)


def completion(row: Row) -> Asked:
    """A request to /v1/completions. Raises Refused."""
    n = fields.whole(row, "n", 1, MOST_SAMPLES) or 1
    neutral = {**COMPLETION_NEUTRAL, "best_of": tuple(dict.fromkeys((1, n)))}
    fields.only(row, [*SUPPORTED, "prompt", "echo"], neutral)
    prompts = _prompts(row.get("prompt"))
    if n * len(prompts) > MOST_RESPONSES:
        refuse("n", f"{len(prompts)} prompts with {n} responses are more than {MOST_RESPONSES}.")
    echo = fields.truth(row, "echo")
    max_tokens = fields.whole(row, "max_tokens", 0, MOST_TOKENS)
    if max_tokens == 0 and not echo:
        refuse("max_tokens", "'max_tokens' 0 asks for nothing, unless 'echo' is true.")
    return Asked(
        prompts=prompts,
        chat=False,
        max_tokens=max_tokens,
        echo=echo,
        logprobs=fields.whole(row, "logprobs", 0, 20),
        **_shared(row, n),
    )


def chat(row: Row) -> Asked:
    """A request to /v1/chat/completions. Raises Refused."""
    supported = [*SUPPORTED, "messages", "max_completion_tokens", "top_logprobs"]
    fields.only(row, supported, CHAT_NEUTRAL)
    caps = [
        fields.whole(row, name, 1, MOST_TOKENS) for name in ("max_completion_tokens", "max_tokens")
    ]
    if None not in caps and caps[0] != caps[1]:
        refuse("max_tokens", "'max_tokens' and 'max_completion_tokens' differ: give one of them.")
    top = fields.whole(row, "top_logprobs", 0, 20)
    shows = fields.truth(row, "logprobs")
    if top is not None and not shows:
        refuse("top_logprobs", "'top_logprobs' goes with 'logprobs': true.")
    return Asked(
        prompts=(conversation(_messages(row.get("messages"))),),
        chat=True,
        max_tokens=caps[0] if caps[0] is not None else caps[1],
        logprobs=(top or 0) if shows else None,
        **_shared(row, fields.whole(row, "n", 1, MOST_SAMPLES) or 1),
    )


def moderation(row: Row) -> tuple[str, list[str]]:
    """The model that a request to /v1/moderations names ("": none) and its texts. Raises
    Refused."""
    fields.only(row, ["input", "model"], {})
    value = row.get("input")
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or len(given) > MOST_PROMPTS:
        refuse("input", f"'input' must be a text, or a list of up to {MOST_PROMPTS} texts.")
    if long := [len(one) for one in given if isinstance(one, str) and len(one) > MOST_MODERATED]:
        refuse("input", f"A text of {long[0]} characters is longer than {MOST_MODERATED}.")
    name = "" if row.get("model") is None else _model(row)
    return name, [fields.a_text(one, "input") for one in given]


def _shared(row: Row, n: int) -> dict[str, Any]:
    return {
        "model": _model(row),
        "temperature": _temperature(row),
        "n": n,
        "stops": fields.stops(row),
        "seed": fields.whole(row, "seed", -SEEDS, SEEDS),
        "stream": fields.truth(row, "stream"),
        "usage": fields.wants_usage(row),
        "user": fields.text(row, "user", ""),
    }


def _model(row: Row) -> str:
    """The name of a model, as long as one can be."""
    if row.get("model") is None:
        refuse("model", "'model' is missing: name one of those that /v1/models lists.")
    name = fields.text(row, "model")
    if len(name) > MOST_NAME:
        refuse("model", f"'model' has {len(name)} characters: /v1/models lists the names.")
    return name


def _temperature(row: Row) -> float | None:
    value = fields.number(row, "temperature", 0, 100)
    if value is not None and 0 < value < LEAST_TEMPERATURE:
        refuse("temperature", f"'temperature' must be 0, or at least {LEAST_TEMPERATURE:g}.")
    return value


def _prompts(value: Any) -> tuple[Prompt | tuple[int, ...], ...]:
    """A text, a list of texts, token ids, or a list of these."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        refuse("prompt", "'prompt' must be a text, token ids, or a list of these.")
    if all(isinstance(one, int) for one in value):
        value = [value]
    if len(value) > MOST_PROMPTS:
        refuse("prompt", f"'prompt' holds {len(value)} prompts, more than {MOST_PROMPTS}.")
    return tuple(_prompt(one) for one in value)


def _prompt(value: Any) -> Prompt | tuple[int, ...]:
    if isinstance(value, str):
        return Prompt("", fields.a_text(value, "prompt"))
    ids = isinstance(value, list) and value and all(type(one) is int and one >= 0 for one in value)
    if not ids:
        refuse("prompt", "'prompt' must be a text, token ids, or a list of these.")
    return tuple(value)


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        refuse("messages", "'messages' must be a list of messages, one at least.")
    messages = [_message(one) for one in value]
    if messages[-1].role != "user":
        refuse("messages", "The last message must be the user's: it is what is answered.")
    return messages


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        refuse("messages", "A message is an object with 'role' and 'content'.")
    fields.only(value, ["role", "content"], {"tool_calls": ([],)})
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        shown = repr(role)[: fields.MOST_SHOWN]
        refuse("messages", f"The role {shown} is not supported. Allowed: {', '.join(ROLES)}.")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) < len(content) or any(set(part) > {"type", "text"} for part in parts):
            refuse("messages", "A part of a message must be {'type': 'text', 'text': ...}.")
        content = "".join(fields.a_text(part.get("text"), "messages") for part in parts)
    return Message(role, fields.a_text(content, "messages"))
