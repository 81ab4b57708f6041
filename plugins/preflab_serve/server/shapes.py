"""Answers in the forms that clients of OpenAI's API read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preflab.records import Tokenizer
from preflab_builtin.guard.verdicts import Verdict
from preflab_serve.growing import Growing
from preflab_serve.scoring import Scored

Object = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """How one answer is shown. fingerprint: of the model; seed: with which it is repeated."""

    chat: bool
    model: str
    fingerprint: str
    seed: int
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: Sequence[Object], usage: Object) -> Object:
        """An answer in one piece."""
        name = "chat.completion" if self.chat else "text_completion"
        return {**self._head(name), "choices": list(choices), "usage": usage}

    def piece(self, choices: Sequence[Object], usage: Object | None, shows_usage: bool) -> Object:
        """A piece of a stream."""
        name = "chat.completion.chunk" if self.chat else "text_completion"
        more = {"usage": usage} if shows_usage else {}
        return {**self._head(name), "choices": list(choices), **more}

    def choice(self, row: Growing, text: str, logprobs: Object | None) -> Object:
        """One response of an answer in one piece."""
        said = (
            {"message": {"role": "assistant", "content": text, "refusal": None}}
            if self.chat
            else {"text": text}
        )
        return {"index": row.number, **said, "logprobs": logprobs, "finish_reason": row.finish}

    def delta(self, number: int, text: str, finish: str = "", first: bool = False) -> Object:
        """What has come to one response of a stream."""
        said: Object = {"text": text}
        if self.chat:
            delta: Object = {"role": "assistant"} if first else {}
            said = {"delta": delta if finish and not text else {**delta, "content": text}}
        return {"index": number, **said, "logprobs": None, "finish_reason": finish or None}

    def _head(self, name: str) -> Object:
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "preflab": {"seed": self.seed},
        }


def usage(prompt: int, sampled: int) -> Object:
    """Numbers of tokens."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": sampled,
        "total_tokens": prompt + sampled,
    }


class Names:
    """Tokens as texts, no two of one answer with the same: where that would be so, or a token is no
    whole character, it is called token_id:N."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()

    def of(self, token: int) -> str:
        """The name of a token."""
        if token not in self._names:
            text = self._tokenizer.decode([token])
            if not text or "\ufffd" in text or text in self._taken:
                text = f"token_id:{token}"
            self._names[token] = text
            self._taken.add(text)
        return self._names[token]


def completion_logprobs(row: Growing, scored: Sequence[Scored], echo: bool, top: int) -> Object:
    """Log-probabilities as /v1/completions shows them. The first token of a row has none."""
    names = Names(row.tokenizer)
    shown = [*([Scored(row.prompt_ids[0], 0.0)] if echo else []), *scored]
    ids = [one.token for one in shown]
    tops: list[Object | None] = [
        {names.of(token): value for token, value in (*one.top[:top], (one.token, one.log_prob))}
        for one in shown
    ]
    values: list[float | None] = [one.log_prob for one in shown]
    if echo:
        tops[0] = values[0] = None
    return {
        "tokens": [names.of(token) for token in ids],
        "token_logprobs": values,
        "top_logprobs": tops,
        "text_offset": offsets(row, ids, echo),
    }


def offsets(row: Growing, ids: Sequence[int], echo: bool) -> list[int]:
    """Where each token begins in the text of the choice."""
    decode = row.tokenizer.decode
    prompt = len(row.prompt_ids) if echo else 0
    before = [len(decode(ids[:i])) for i in range(prompt)]
    start = len(row.prompt.text) + len(row.gap) if echo else 0
    response = ids[prompt:]
    after = [
        start + len(row.tokenizer.decode_response(row.prompt, response[:i]))
        for i in range(len(response))
    ]
    return [*before, *after]


def chat_logprobs(row: Growing, scored: Sequence[Scored], top: int) -> Object:
    """Log-probabilities as /v1/chat/completions shows them."""
    names = Names(row.tokenizer)

    def shown(token: int, value: float) -> Object:
        name = names.of(token)
        return {"token": name, "logprob": value, "bytes": list(name.encode())}

    content = [
        {
            **shown(one.token, one.log_prob),
            "top_logprobs": [shown(*likely) for likely in one.top[:top]],
        }
        for one in scored
    ]
    return {"content": content, "refusal": None}


def moderation(rows: Sequence[Sequence[Verdict]], name: str) -> Object:
    """What guards say of texts: the highest score in each category. name: of the model in front of
    which they are."""
    results = []
    for verdicts in rows:
        named = [verdict for verdict in verdicts if verdict.category]
        categories = {v.category: False for v in named} | {
            v.category: True for v in named if not v.allowed
        }
        scores = {name: max(v.score for v in named if v.category == name) for name in categories}
        results.append(
            {
                "flagged": any(categories.values()),
                "categories": categories,
                "category_scores": scores,
            }
        )
    return {"id": f"modr-{secrets.token_hex(12)}", "model": name, "results": results}


def error(sentence: str, status: int, code: str, where: str) -> Mapping[str, Any]:
    """A refusal or a fault."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": sentence, "type": kind, "param": where or None, "code": code}}
