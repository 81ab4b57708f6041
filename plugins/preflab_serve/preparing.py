"""Prompts, read and checked before anything is sampled. All of this is done in the worker's
thread."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.interfaces import AnyTemperature, ReadsForms, StreamsRows
from preflab.records import Prompt
from preflab_people.server.answers import Refused
from preflab_serve.growing import PARTIAL, Growing

if TYPE_CHECKING:
    from preflab_serve.answering import Answering
    from preflab_serve.arms import Arm
    from preflab_serve.guarding import Checking
    from preflab_serve.server.asked import Asked

LOG = logging.getLogger("preflab_serve")
MOST_CHARACTERS = 100
"""Of a prompt, for each position of the model. Words of languages have 2 to 10 for each token."""
Blame = Callable[[str], Refused]
"""The refusal of a prompt, with a sentence that says why."""
AT_ONCE = 64
"""Responses to one request of an engine that gives no single tokens: it may not be interrupted."""


def wrong(sentence: str, field: str = "") -> Refused:
    """The refusal of what a client can mend. field: that is at fault."""
    return Refused(400, "invalid_value", sentence, field=field)


def prepare(answering: Answering, front: Checking | None) -> None:
    """Load what answers and its guard, and read the prompts. front: the guard in front of all
    models. Raises Refused."""
    arm, asked = answering.arm, answering.asked
    try:
        draws, own = arm.draws, arm.checking
    except Exception:
        # With its words: nothing of the request has been read yet.
        LOG.exception("the model %s cannot be loaded", arm.name)
        sentence = f"The model '{arm.name}' cannot be loaded; the server's log says why."
        raise Refused(503, "model_unavailable", sentence) from None
    answering.checkings = tuple(one for one in (front, own) if one is not None)
    resamples = max((one.resamples for one in answering.checkings), default=0)
    answering.rows = rows = read(arm, asked)
    if answering.checkings:
        _check_checkable(asked, rows)
    lengths = [max(len(r.prompt_ids), _read(arm, r.prompt, wrong)) + r.most for r in rows]
    sampled = 0 if asked.max_tokens == 0 else sum(lengths) * draws * (1 + resamples)
    answering.needed = sampled + (0 if asked.logprobs is None else sum(lengths))


def _check_checkable(asked: Asked, rows: Sequence[Growing]) -> None:
    """What no guard could check. Of a character that is cut neither part shows what it is."""
    if asked.logprobs is not None:
        raise wrong(
            "'logprobs' is not supported behind a guard: they show words that it has not checked.",
            "logprobs",
        )
    for given, row in zip(asked.prompts, rows[:: asked.n], strict=True):
        if not isinstance(given, Prompt) and row.prompt.text.endswith(PARTIAL):
            raise wrong("Behind a guard a prompt must end with a whole character.", "prompt")


def read(arm: Arm, asked: Asked) -> list[Growing]:
    """The rows of a request, each prompt checked. Raises Refused for a prompt that cannot be
    answered as it was asked for."""
    tokenizer, rows = arm.tokenizer, list[Growing]()
    _check_way(arm, asked)
    for place, given in enumerate(asked.prompts):
        bad = _blaming(asked, place)
        if isinstance(given, Prompt):
            prompt = replace(given, id=f"{place}")
            _check_short(arm, prompt, bad)
            _check_readable(arm, prompt, bad)
            ids = _encoded(arm, prompt, bad)
            most = _most(arm, asked, max(len(ids), _read(arm, prompt, bad)), bad)
        else:
            if unknown := [token for token in given if token >= tokenizer.size]:
                raise bad(
                    f"There is no token {unknown[0]}: the model has {tokenizer.size}, from 0."
                )
            ids, most = given, _most(arm, asked, len(given), bad)
            prompt = Prompt(f"{place}", tokenizer.decode(ids))
        rows += [
            Growing(tokenizer, prompt, ids, place * asked.n + k, most, asked.stops)
            for k in range(asked.n)
        ]
    return rows


def _blaming(asked: Asked, place: int) -> Blame:
    """The refusal of one of the prompts, which says which one."""
    field = "messages" if asked.chat else "prompt"
    where = "" if len(asked.prompts) == 1 else f"Prompt {place}: "
    return lambda sentence: wrong(f"{where}{sentence}", field)


def _read(arm: Arm, prompt: Prompt, bad: Blame) -> int:
    """Tokens of the longest form in which the algorithm of an arm has it read."""
    responder = arm.responder if arm.own_way else None
    forms: Sequence[Prompt] = responder.forms(prompt) if isinstance(responder, ReadsForms) else ()
    return max((len(_encoded(arm, form, bad)) for form in forms), default=0)


def _encoded(arm: Arm, prompt: Prompt, bad: Blame) -> tuple[int, ...]:
    """Its tokens. A chat template may refuse a conversation, in its own words."""
    try:
        return tuple(arm.tokenizer.encode_prompt(prompt))
    except UserError as error:
        if re.search(r"(^|[\s'\"(])/", str(error)):  # it may name a folder of the server
            raise
        raise bad(f"{error}") from None


def _check_way(arm: Arm, asked: Asked) -> None:
    """An algorithm that answers by itself has a cap of its own, and reads texts."""
    engine = arm.engine
    if not arm.own_way and isinstance(engine, StreamsRows):
        return
    if not arm.own_way and asked.responses > AT_ONCE:
        raise wrong(f"{arm.name} answers with up to {AT_ONCE} responses at a time.", "n")
    if not all(isinstance(prompt, Prompt) for prompt in asked.prompts):
        raise wrong(f"{arm.name} reads prompts as texts only, not as token ids.", "prompt")
    own = engine.sampling.max_tokens
    if arm.own_way and asked.max_tokens is not None and 0 < asked.max_tokens < own:
        raise wrong(
            f"max_tokens: the algorithm of {arm.name} answers with up to {own} tokens; give as "
            "many or leave it out.",
            "max_tokens",
        )
    other = arm.own_way and asked.temperature not in (None, engine.sampling.temperature)
    if other and not isinstance(arm.responder, AnyTemperature):
        raise wrong(f"temperature: the algorithm of {arm.name} has one of its own.", "temperature")


def _check_short(arm: Arm, prompt: Prompt, bad: Blame) -> None:
    """A text that no tokenizer makes short enough is refused unread: reading megabytes takes
    seconds, in which nobody else is answered."""
    if arm.positions is not None and len(prompt.text) > MOST_CHARACTERS * arm.positions:
        raise bad(
            f"Its {len(prompt.text)} characters leave no room for a response in the "
            f"{arm.positions} positions of the model."
        )


def _check_readable(arm: Arm, prompt: Prompt, bad: Blame) -> None:
    """A model with few words would answer another prompt than it was asked."""
    for text in [turn.content for turn in prompt.messages] or [prompt.text]:
        seen = arm.run.unread(text)
        if seen is not None and folded(seen) != folded(text):
            raise bad(f"The model cannot read all of this. It reads: {seen!r}")


def folded(text: str) -> list[str]:
    """The words of a text, as tokenizers without capitals and with normal forms read them."""
    return unicodedata.normalize("NFKC", text).casefold().split()


def _most(arm: Arm, asked: Asked, length: int, bad: Blame) -> int:
    """Tokens that a response may have."""
    if not length:
        raise bad("It has no tokens: there is nothing to answer.")
    own, limit = arm.engine.sampling.max_tokens, arm.positions
    most = own if asked.max_tokens is None or arm.own_way else asked.max_tokens
    room = most if limit is None else limit - length
    if room < (asked.max_tokens != 0):
        raise bad(
            f"Its {length} tokens leave no room for a response in the {limit} positions of "
            "the model."
        )
    if arm.own_way and most > room:
        raise bad(
            f"Its {length} tokens and the {own} that {arm.name} answers with are more than "
            f"the {limit} positions of the model."
        )
    streams = isinstance(arm.engine, StreamsRows)
    if most > room and (asked.max_tokens is not None or not streams):
        raise bad(
            f"Its {length} tokens and max_tokens={most} are more than the {limit} positions "
            f"of the model: max_tokens can be {room} at most."
        )
    return min(most, room)
