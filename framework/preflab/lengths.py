"""Rows that are longer than a model can read: refused in the same words before the first stage and
where they are read, counted, with the first of them by file and line and the words that leave them
out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from preflab.errors import EXAMPLES, UserError
from preflab.prompts import with_prefix
from preflab.records import SPLITS, Demonstration, Prompt, Ranking, RecordType, Tokenizer

if TYPE_CHECKING:
    from preflab.interfaces import Context

BYTES, TURN = 4, 64
"""Most bytes of a character, and more tokens than a chat template puts around a turn: a token has
a byte at least."""
POLICY = "the policy"
_LEAVE_OUT = "leave them out with"
Sized = tuple[Prompt, int]
"""A row's prompt and the number of tokens that the row has, or 0 if it surely fits."""


def place(prompt: Prompt) -> str:
    """Where people find a row: its file and line, else its id."""
    return prompt.place or f"{prompt.id!r}"


def every_prompt(context: Context) -> Iterator[Prompt]:
    """Those of all splits that the run has; a run that only evaluates may have none to train on."""
    for split in SPLITS if context.has("prompts") else ():
        with contextlib.suppress(UserError):
            yield from context.records("prompts", split)


def check_prompts(
    context: Context, prompts: Iterable[Prompt], in_front: Sequence[str] | None = None
) -> None:
    """`UserError` if a prompt leaves no room in the policy for the longest response of the run's
    rollout engine, or is a conversation that the model's chat template refuses. in_front: texts of
    which one stands in front of each; None: those that the stage puts there."""
    limit, max_tokens = context.max_positions, context.rollout().sampling.max_tokens
    room = math.inf if limit is None else limit - max_tokens
    front = longest(context.tokenizer, context.in_front() if in_front is None else in_front)
    asked = (with_prefix(prompt, front) for prompt in prompts) if front else prompts
    sizes = prompt_sizes(context.tokenizer, asked, room)
    refuse_prompts(sizes, limit, max_tokens, in_front=front)


def longest(tokenizer: Tokenizer, texts: Sequence[str]) -> str:
    """The one with the most tokens; "" if there is none."""
    return max(texts, key=lambda text: len(tokenizer.encode(text)), default="")


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
    refuse_rows(kind, row_sizes(context.tokenizer, records, room, max_tokens), limit, cures)


def refuse_prompts(
    rows: Iterable[Sized],
    limit: int | None,
    max_tokens: int,
    model: str = POLICY,
    in_front: str = "",
) -> None:
    """`UserError` for prompts with more tokens than ``limit`` positions (None: any number) less
    the longest response. model: whose positions they are; in_front: a text with which the prompts
    begin, for the message."""
    room = math.inf if limit is None else limit - max_tokens
    long = _long(rows, room)
    if limit is None or not long.number:
        return
    if room < 1:
        raise UserError(
            f"rollout.max_tokens={max_tokens} leaves no room for a prompt in the {limit} positions "
            f"of {model}: lower it."
        )
    cures = [leave_out("max_tokens", limit - max_tokens)]
    if long.most < limit:
        cures.append(f"lower rollout.max_tokens to {limit - long.most}")
    if in_front:
        cures.append(f"shorten the text in front of them, {in_front!r:.60}")
    why = f"the {limit} positions of {model} less rollout.max_tokens={max_tokens}"
    raise UserError(long.told("prompts", limit - max_tokens, why, cures))


def refuse_rows(
    kind: RecordType, rows: Iterable[Sized], limit: int | None, cures: Sequence[str] = ()
) -> None:
    """`UserError` for demonstrations or rankings of which a prompt with a response has more tokens
    than ``limit`` positions (None: any number)."""
    more = [] if limit is None else [leave_out("max_row_tokens", limit)]
    refuse(kind, rows, limit, f"the positions of {POLICY}", [*more, *cures])


def leave_out(key: str, limit: int) -> str:
    """The words that leave out rows that are too long. key: of the filter ``length``."""
    return f"{_LEAVE_OUT} +filter@filters.fits=length filters.fits.{key}={limit}"


def refuse(
    kind: str, rows: Iterable[Sized], room: int | None, why: str, cures: Sequence[str]
) -> None:
    """`UserError` for rows with more tokens than there is room for (None: any number). kind: what
    they are, in the plural; why: what the room is; cures: what can be done."""
    long = _long(rows, math.inf if room is None else room)
    if room is not None and long.number:
        raise UserError(long.told(kind, room, why, cures))


@dataclass
class _Long:
    """What is remembered of rows: how many there are, how many are too long, the first of these,
    and the most tokens of one."""

    total: int = 0
    number: int = 0
    first: list[Sized] = field(default_factory=list)
    most: int = 0

    def told(self, kind: str, room: int, why: str, cures: Sequence[str]) -> str:
        """The refusal."""
        shown = ", ".join(f"{place(prompt)} ({tokens} tokens)" for prompt, tokens in self.first)
        more = f" and {self.number - EXAMPLES} more" if self.number > EXAMPLES else ""
        has = "has" if self.number == 1 else "have"
        if self.number == self.total:  # nothing would be left
            other = f"give shorter {kind} or a model with more positions"
            cures = [other if cure.startswith(_LEAVE_OUT) else cure for cure in cures]
        advice = "; or ".join(cures)
        return (
            f"{self.number} of {self.total} {kind} {has} more than {room} tokens, {why}: "
            f"{shown}{more}. {advice[0].upper()}{advice[1:]}."
        )


def _long(rows: Iterable[Sized], room: float) -> _Long:
    """All rows are looked at, and few are kept: there may be millions."""
    long = _Long()
    for prompt, tokens in rows:
        long.total += 1
        if tokens > room:
            long.number += 1
            long.most = max(long.most, tokens)
            if len(long.first) < EXAMPLES:
                long.first.append((prompt, tokens))
    return long


def prompt_sizes(tokenizer: Tokenizer, prompts: Iterable[Prompt], room: float) -> Iterator[Sized]:
    """The tokens of prompts. One that is so short that it surely fits into ``room`` is not
    tokenised, if its turns are laid out like those of a conversation before it."""
    seen: set[tuple[str, ...]] = {()}
    for prompt in prompts:
        says_something = prompt.messages or prompt.text.strip()
        known = says_something and _layout(prompt) in seen and _surely_fits(prompt, 0, room)
        seen.add(_layout(prompt))
        if known:
            yield prompt, 0
            continue
        with _named(prompt):
            tokens = len(tokenizer.encode_prompt(prompt))
        refuse_nothing(prompt, tokens)
        yield prompt, tokens


def refuse_nothing(prompt: Prompt, tokens: int) -> None:
    """`UserError` for a prompt without a token, which no model can answer."""
    if not tokens:
        raise UserError(
            f"The prompt of {place(prompt)} has no tokens: there is nothing to answer. Remove it "
            "with a filter."
        )


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
        layout = _layout(record.prompt)
        known = layout in seen and _surely_fits(record.prompt, max(map(len, answers(record))), room)
        seen.add(layout)
        with _named(record.prompt):
            tokens = 0 if known else row_size(tokenizer, record, max_tokens)
        yield record.prompt, tokens


def row_size(
    tokenizer: Tokenizer, record: Demonstration | Ranking, max_tokens: int | None = None
) -> int:
    """The tokens of a prompt with its longest response, which is cut to ``max_tokens``."""
    prompt = record.prompt
    ends = (tokenizer.encode_response(prompt, text)[:max_tokens] for text in answers(record))
    return len(tokenizer.encode_prompt(prompt)) + max(map(len, ends))


@contextlib.contextmanager
def _named(prompt: Prompt) -> Iterator[None]:
    """Within it a refusal names the place of the prompt."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place(prompt)}: {error}") from None


def answers(record: Demonstration | Ranking) -> tuple[str, ...]:
    """The responses of a record."""
    return (record.response,) if isinstance(record, Demonstration) else record.responses


def _layout(prompt: Prompt) -> tuple[str, ...]:
    return tuple(message.role for message in prompt.messages)


def _surely_fits(prompt: Prompt, more: int, room: float) -> bool:
    """Whether a row cannot have more tokens than there is room for. A tokenizer that makes text
    longer than it is (NFKC) may prove it wrong, so whoever reads the rows looks again."""
    characters = len(prompt.text) + more
    return BYTES * characters + TURN * (len(prompt.messages) + 2) <= room
