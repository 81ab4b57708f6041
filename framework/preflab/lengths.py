"""Rows that are longer than a model can read: refused in the same words before the first stage and
where they are read, counted, with the first of them by file and line and the words that leave them
out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.records import Demonstration, Prompt, Ranking, RecordType, Tokenizer

if TYPE_CHECKING:
    from preflab.interfaces import Context

SHOWN = 3
"""Rows that a message names."""
BYTES, TURN = 4, 64
"""Most bytes of a character, and more tokens than a chat template puts around a turn: a token has
a byte at least."""
POLICY = "the policy"
Sized = tuple[Prompt, int]
"""A row's prompt and the number of tokens that the row has, or 0 if it surely fits."""


def place(prompt: Prompt) -> str:
    """Where people find a row: its file and line, else its id."""
    return prompt.place or f"{prompt.id!r}"


def check_prompts(context: Context, prompts: Sequence[Prompt]) -> None:
    """`UserError` if a prompt leaves no room in the policy for the longest response of the run's
    rollout engine, or is a conversation that the model's chat template refuses."""
    limit, max_tokens = context.max_positions, context.rollout().sampling.max_tokens
    room = math.inf if limit is None else limit - max_tokens
    rows = list(prompt_sizes(context.tokenizer, prompts, room))
    if limit is not None:
        refuse_prompts(rows, limit, max_tokens)


def check_rows(
    context: Context,
    kind: RecordType,
    records: Iterable[Demonstration | Ranking],
    max_tokens: int | None = None,
    cures: Sequence[str] = (),
) -> None:
    """`UserError` if a prompt with its longest response has more tokens than the policy has
    positions. max_tokens: responses are cut to it; cures: what else can be done."""
    limit = context.max_positions
    room = math.inf if limit is None else limit
    rows = list(row_sizes(context.tokenizer, records, room, max_tokens))
    if limit is not None:
        refuse_rows(kind, rows, limit, cures)


def refuse_prompts(rows: Sequence[Sized], limit: int, max_tokens: int, model: str = POLICY) -> None:
    """`UserError` for prompts with more tokens than ``limit`` positions less the longest response.
    model: whose positions they are."""
    room = limit - max_tokens
    if room < 1 and rows:
        raise UserError(
            f"rollout.max_tokens={max_tokens} leaves no room for a prompt in the {limit} positions "
            f"of {model}: lower it."
        )
    longest = max((tokens for _, tokens in rows), default=0)
    cures = [leave_out("max_tokens", room)]
    cures += [f"lower rollout.max_tokens to {limit - longest}" if longest < limit else ""]
    why = f"the {limit} positions of {model} less rollout.max_tokens={max_tokens}"
    refuse("prompts", rows, room, why, cures)


def refuse_rows(
    kind: RecordType, rows: Sequence[Sized], limit: int, cures: Sequence[str] = ()
) -> None:
    """`UserError` for demonstrations or rankings of which a prompt with a response has more tokens
    than ``limit`` positions."""
    cures = [leave_out("max_row_tokens", limit), *cures]
    refuse(kind, rows, limit, f"the positions of {POLICY}", cures)


def leave_out(key: str, limit: int) -> str:
    """The words that leave out rows that are too long. key: of the filter ``length``."""
    return f"leave them out with +filter@filters.fits=length filters.fits.{key}={limit}"


def refuse(kind: str, rows: Sequence[Sized], room: int, why: str, cures: Sequence[str]) -> None:
    """`UserError` for rows with more tokens than there is room for. kind: what they are, in the
    plural; why: what the room is; cures: what can be done, "" for nothing."""
    long = [(prompt, tokens) for prompt, tokens in rows if tokens > room]
    if not long:
        return
    shown = ", ".join(f"{place(prompt)} ({tokens} tokens)" for prompt, tokens in long[:SHOWN])
    more = f" and {len(long) - SHOWN} more" if len(long) > SHOWN else ""
    has = "has" if len(long) == 1 else "have"
    advice = "; or ".join(filter(None, cures))
    raise UserError(
        f"{len(long)} of {len(rows)} {kind} {has} more than {room} tokens, {why}: {shown}{more}. "
        f"{advice[0].upper()}{advice[1:]}."
    )


def prompt_sizes(tokenizer: Tokenizer, prompts: Iterable[Prompt], room: float) -> Iterator[Sized]:
    """The tokens of prompts. One that is so short that it surely fits into ``room`` is not
    tokenised, if its turns are laid out like those of a conversation before it."""
    seen: set[tuple[str, ...]] = {()}
    for prompt in prompts:
        roles = tuple(message.role for message in prompt.messages)
        known = roles in seen and _surely_fits(prompt, 0, room)
        seen.add(roles)
        yield prompt, 0 if known else len(tokenizer.encode_prompt(prompt))


def row_sizes(
    tokenizer: Tokenizer,
    records: Iterable[Demonstration | Ranking],
    room: float,
    max_tokens: int | None = None,
) -> Iterator[Sized]:
    """The tokens of prompts with their longest response, as `prompt_sizes` gives them. max_tokens:
    responses are cut to it."""
    seen: set[tuple[str, ...]] = {()}
    for record in records:
        prompt = record.prompt
        responses = (record.response,) if isinstance(record, Demonstration) else record.responses
        roles = tuple(message.role for message in prompt.messages)
        if roles in seen and _surely_fits(prompt, max(map(len, responses)), room):
            yield prompt, 0
            continue
        seen.add(roles)
        ends = (len(tokenizer.encode_response(prompt, text)[:max_tokens]) for text in responses)
        yield prompt, len(tokenizer.encode_prompt(prompt)) + max(ends)


def _surely_fits(prompt: Prompt, more: int, room: float) -> bool:
    """Whether a row cannot have more tokens than there is room for. A tokenizer that makes text
    longer than it is (NFKC) may prove it wrong, so whoever reads the rows looks again."""
    characters = len(prompt.text) + more
    return BYTES * characters + TURN * (len(prompt.messages) + 2) <= room
