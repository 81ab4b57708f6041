"""Rows with several answers and an order among them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from preflab.records import preferences_from_ranks
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files import conversations, transcripts
from preflab_builtin.files.asking import (
    Case,
    Columns,
    answer,
    case,
    conversation,
    instruction,
    question,
)
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.labelers import labeler_group
from preflab_builtin.files.names import CONVERSATIONS, LIKED
from preflab_builtin.files.rated import PAIR, rated
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import blank, listed, numeric, structured, truth

RATED = ("scores", "ratings")
ORDERS = ("ranks", "ranking", *RATED)
SINGLE = ("completion", "response")
"""Columns with the only answer of a row."""
SCORES = ("score", "rating", "reward", "rank")
"""Columns with its score, or its rank."""
Number = TypeVar("Number", bool, float)


def explicit(row: Columns, reading: Reading) -> Sequence[Case]:
    """``prompt``, ``chosen``, ``rejected``; the last two may be whole conversations."""
    chosen, rejected = values = row["chosen"], row["rejected"]
    same = not blank(row.get("messages")) and structured(row["messages"]) != structured(chosen)
    if same:
        ignore = reading.settings.option("ignore=[messages]")
        cure = f"If 'messages' does not count: {ignore}"
        raise BadRow("messages", f"is another conversation than 'chosen'. {cure}")
    chats = (
        conversations.is_conversation(chosen, "chosen"),
        conversations.is_conversation(rejected, "rejected"),
    )
    if _whole(chosen, "chosen", chats[0], reading) and _whole(
        rejected, "rejected", chats[1], reading
    ):
        (made,) = implicit(row, reading)
        value = row["prompt"]
        if isinstance(value, str) and value.strip() not in made.asked.text:
            raise BadRow("prompt", "is not in the conversation of 'chosen'")
        return [made]
    asked = question(row, row["prompt"], "prompt", reading, chat=any(chats))
    replies = [answer(v, f, asked, reading) for v, f in zip(values, PAIR, strict=True)]
    return [case(row, asked, replies, [(0, 1)], ratings=rated(row, reading))]


def _whole(value: Any, field: str, chat: bool, reading: Reading) -> bool:
    """Whether a value holds the question too."""
    if chat:
        return conversations.first_role(value, field, reading) != "assistant"
    return isinstance(value, str) and value.startswith(transcripts.HUMAN)


def implicit(row: Columns, reading: Reading) -> Sequence[Case]:
    """``chosen`` and ``rejected``: whole conversations, or transcripts in the form of HH-RLHF."""
    chosen, rejected = row["chosen"], row["rejected"]
    texts = not conversations.is_conversation(chosen, "chosen") or isinstance(rejected, str)
    ratings = rated(row, reading, transcript=texts)
    if texts:
        both = [fields.text(row, field) for field in PAIR]
        prompt, better, worse = transcripts.parted(*both)
        asked = question(row, prompt, "chosen", reading)
        replies = [answer(t, f, asked, reading) for t, f in zip((better, worse), PAIR, strict=True)]
        return [case(row, asked, replies, [(0, 1)], ratings=ratings)]
    asked, better = conversation(row, chosen, "chosen", reading)
    if isinstance(rejected, list) and isinstance(chosen, list) and rejected[:-1] == chosen[:-1]:
        (last,) = conversations.turns(rejected[-1:], "rejected", reading, len(rejected) - 1)
        worse = conversations.response(last, "rejected")
    else:
        other, worse = conversation(row, rejected, "rejected", reading)
        if other != asked:
            raise BadRow("rejected", "and chosen differ before the last message")
    return [case(row, asked, [better, worse], [(0, 1)], ratings=ratings)]


def continued(row: Columns, reading: Reading) -> Sequence[Case]:
    """A conversation, and the two messages that may follow it (ShareGPT preferences)."""
    field = next(name for name in CONVERSATIONS if row.get(name) is not None)
    asked = question(row, row[field], field, reading)
    replies = [answer(row[name], name, asked, reading) for name in PAIR]
    return [case(row, asked, replies, [(0, 1)], ratings=rated(row, reading))]


def arena(row: Columns, reading: Reading) -> Sequence[Case]:
    """Chatbot Arena: two conversations, and a ``winner`` (model_a, model_b, or a tie). Zheng et al.
    2023."""
    names = ("conversation_a", "conversation_b")
    (asked, one), (other, two) = (conversation(row, row[n], n, reading) for n in names)
    if other != asked:
        raise BadRow("conversation_b", "and conversation_a differ before the last message")
    winner = fields.text(row, "winner")
    pairs = {"model_a": [(0, 1)], "model_b": [(1, 0)]}.get(winner, [])
    if not pairs and not winner.startswith("tie"):
        raise BadRow("winner", f"is '{shown(winner)}'. Allowed: model_a, model_b, tie")
    return [case(row, asked, [one, two], pairs)]


def openai(row: Columns, reading: Reading) -> Sequence[Case]:
    """The preferences of OpenAI's fine-tuning: ``input`` {messages, tools}, and two outputs."""
    given = structured(row["input"])
    if not isinstance(given, Mapping):
        raise BadRow("input", f"is {type_name(given)} but must be an object {{messages}}")
    reading.rest(given, ("messages",), "input.")
    asked = question(row, given.get("messages"), "input.messages", reading)
    names = ("preferred_output", "non_preferred_output")
    replies = [answer(row[name], name, asked, reading) for name in names]
    return [case(row, asked, replies, [(0, 1)])]


def instructed(row: Columns, reading: Reading) -> Sequence[Case]:
    """``instruction`` (and ``input``), ``chosen``, ``rejected``."""
    given = "" if row.get("input") is None else fields.text(row, "input", blank=True)
    asked = instruction(row, fields.text(row, "instruction"), given, reading)
    replies = [answer(row[name], name, asked, reading) for name in PAIR]
    return [case(row, asked, replies, [(0, 1)], ratings=rated(row, reading))]


def kwise(row: Columns, reading: Reading) -> Sequence[Case]:
    """``prompt``, ``completions`` and what orders them."""
    values = fields.items({"completions": listed(row["completions"])}, "completions")
    names = _numbered("completions", len(values))
    chats = list(map(conversations.is_conversation, values, names))
    asked = question(row, row["prompt"], "prompt", reading, chat=any(chats))
    responses = [answer(v, name, asked, reading) for v, name in zip(values, names, strict=True)]
    given = [field for field in ORDERS if row.get(field) is not None]
    if len(given) > 1:
        raise BadRow(given[1], f"and {given[0]} are both given: which one counts?")
    order = _order({given[0]: listed(row[given[0]])}, given[0], len(responses), reading)
    preferences = _preferences(tuple(order))
    for i, j in preferences:
        if responses[i] == responses[j]:
            reason = f"numbers {i} and {j} are the same text but ranked differently"
            raise BadRow("completions", reason)
    ratings = [-n for n in order] if given[0] in RATED else ()
    return [case(row, asked, responses, preferences, ratings=ratings)]


def liked(rows: Sequence[Columns], reading: Reading) -> Sequence[Case]:
    """All answers to one question with whether people liked them: the liked ones are better than
    the others. Nobody compared two that were both liked, or both not."""
    texts = [row["completion"] for row in rows]
    chat = any([conversations.is_conversation(text, "completion") for text in texts])
    asked = question(rows[0], rows[0]["prompt"], "prompt", reading, chat)
    responses = [answer(text, "completion", asked, reading) for text in texts]
    marks = [_of_row(i, row, is_liked) for i, row in enumerate(rows)]
    pairs = list(itertools.permutations(range(len(rows)), 2))
    preferences = [(i, j) for i, j in pairs if marks[i] and not marks[j]]
    unjudged = [(i, j) for i, j in pairs if i < j and marks[i] == marks[j]]
    if any(responses[i] == responses[j] for i, j in preferences):
        raise BadRow("completion", "is the same in two rows of its prompt, and liked in one alone")
    if not preferences:
        says = "liked" if marks[0] else "disliked"
        raise BadRow("label", f"all answers to the prompt were {says}: there is nothing to compare")
    for row, mark in zip(rows, marks, strict=True):
        reading.alone[f"{_liked_field(row)} {_spelled(row)} {mark}"] += 1
    return [case(rows[0], asked, responses, preferences, unjudged=unjudged)]


def scored(rows: Sequence[Columns], reading: Reading) -> Sequence[Case]:
    """All answers to one question, each with its score (higher is better) or its rank (1 is the
    best). Equal numbers are ties."""
    name = next(name for name in SINGLE if name in rows[0])
    chat = any([conversations.is_conversation(row[name], name) for row in rows])
    asked = question(rows[0], rows[0]["prompt"], "prompt", reading, chat)
    responses = [answer(row[name], name, asked, reading) for row in rows]
    numbers = [_of_row(i, row, score) for i, row in enumerate(rows)]
    preferences = preferences_from_ranks([-number for number in numbers])
    if any(responses[i] == responses[j] for i, j in preferences):
        raise BadRow(name, "is the same in two rows of its prompt, with another score")
    field = score_field(rows[0])
    if not preferences:
        have = "the prompt has one answer" if len(rows) == 1 else "all answers to it are equal"
        raise BadRow(field, f"{have}: there is nothing to compare")
    if field == "rank":
        check_ranks(tuple(-number for number in numbers), field)
    for number in numbers:
        reading.alone[f"{field} {abs(number):g}"] += 1
    ratings = () if field == "rank" else numbers
    return [case(rows[0], asked, responses, preferences, ratings=ratings)]


def score_field(row: Columns) -> str:
    """The column with the score of a single answer; `BadRow` if there are several."""
    given = [name for name in SCORES if not blank(row.get(name))]
    if len(given) > 1:
        raise BadRow(given[1], f"and '{given[0]}' are both given: which one counts?")
    return given[0] if given else SCORES[0]


def score(row: Columns) -> float:
    """The score of a single answer, a rank with its sign turned round."""
    field = score_field(row)
    found = numeric(row.get(field), field)
    return -found if field == "rank" else found


def _of_row(number: int, row: Columns, what: Callable[[Columns], Number]) -> Number:
    """What a row says; `BadOne` if the row with this number is bad."""
    try:
        return what(row)
    except BadRow as bad:
        raise BadOne(number, bad) from None


class BadOne(BadRow):
    """One bad row of several that belong together. number: which."""

    def __init__(self, number: int, bad: BadRow) -> None:
        Exception.__init__(self, str(bad))
        self.number = number


def is_liked(row: Columns) -> bool:
    """Whether people liked the completion of a row; `BadRow` if it does not say so."""
    field = _liked_field(row)
    return truth(row.get(field), field)


def _liked_field(row: Columns) -> str:
    return next((name for name in LIKED if not blank(row.get(name))), LIKED[0])


def _spelled(row: Columns) -> str:
    return shown(str(row[_liked_field(row)])).strip().replace(" ", "_")


@lru_cache(maxsize=4096)
def _numbered(field: str, count: int) -> tuple[str, ...]:
    """The places of so many items, for messages."""
    return tuple(f"{field}[{i}]" for i in range(count))


_preferences = lru_cache(maxsize=4096)(preferences_from_ranks)
"""The same few orders stand in most rows."""


def _order(row: Columns, field: str, count: int, reading: Reading) -> list[float]:
    """A number for each of ``count`` completions, the lowest for the best."""
    values = fields.items(row, field)
    if len(values) != count:
        what = "entries" if field == "ratings" else "numbers"
        raise BadRow(field, f"has {len(values)} {what} for {count} completions")
    if field == "ratings":
        return [-_mean(value, f"ratings[{i}]") for i, value in enumerate(values)]
    numbers = list(map(numeric, values, _numbered(field, count)))
    if field == "scores":
        if sorted(numbers) == list(range(1, count + 1)):
            reading.remarks[Remark.SCORES_AS_RANKS] += 1
        return [-number for number in numbers]
    if numbers:
        check_ranks(tuple(numbers), field)
    if field == "ranking" and order_would_differ(numbers):
        reading.remarks[Remark.RANKS_BY_PLACE] += 1
    return numbers


def order_would_differ(ranks: Sequence[float]) -> bool:
    """Whether the same numbers, as numbers of the completions from best to worst, would rank
    otherwise."""
    places = range(1, len(ranks) + 1)
    return sorted(ranks) == list(places) and any(ranks[int(ranks[i - 1]) - 1] != i for i in places)


@lru_cache(maxsize=4096)
def check_ranks(ranks: tuple[float, ...], field: str) -> None:
    """1 is the best, and what comes after follows without a gap: equal ranks may be counted in any
    of the four usual ways (1 2 2 3, 1 2 2 4, 1 3 3 4, 1 2.5 2.5 4). `BadRow` for other numbers,
    which are scores or have an entry too few."""
    ordered, hint = sorted(ranks), "(for 'higher is better' use 'scores')"
    allowed, behind, distinct = [{1.0}], 0, 0
    for value in sorted(set(ranks)):
        tied = ordered.count(value)
        distinct, first, last = distinct + 1, behind + 1, behind + tied
        allowed.append({float(distinct), float(first), float(last), (first + last) / 2})
        if value not in allowed[-1] and distinct == 1:
            raise BadRow(field, f"starts at {value:g} but must start at 1, the best {hint}")
        if value not in allowed[-1]:
            reason = f"holds {value:g}, which is no rank after {behind} better ones {hint}"
            raise BadRow(field, reason)
        behind = last


def _mean(value: Any, field: str) -> float:
    if not isinstance(value, (list, tuple)):
        return numeric(value, field)
    if not value:
        raise BadRow(field, "is an empty list")
    return sum(numeric(v, field) for v in value) / len(value)


def llmbar(row: Columns, reading: Reading) -> Sequence[Case]:
    """``input``, ``output_1``, ``output_2`` and ``label``, the number of the better one."""
    asked = instruction(row, fields.text(row, "input"), "", reading)
    replies = [answer(row[name], name, asked, reading) for name in ("output_1", "output_2")]
    label = row["label"]
    number = None if isinstance(label, bool) else numeric(label, "label")
    if number not in (1, 2):
        option = reading.settings.option
        cure = f"{option('verdict.winner=label')} {option('verdict.start=0')}"
        allowed = f"must be 1 or 2, the number of the better output. If it counts from 0: {cure}"
        raise BadRow("label", f"is {shown(str(label))} but {allowed}")
    return [case(row, asked, replies, [(0, 1) if number == 1 else (1, 0)])]


def own(row: Columns, reading: Reading) -> Sequence[Case]:
    """What preflab's comparisons stage and its labeling rounds write (`preflab.records.to_json`). A
    policy may answer with an empty text."""
    about = _about(row, reading)
    text = fields.checked_text(about.get("text"), "prompt.text")
    asked = Asked(text, rendered=about.get("rendered") is True)
    if about.get("messages"):
        asked = Asked(text, conversations.turns(about["messages"], "prompt.messages", reading))
    responses = tuple(
        fields.checked_text(value, f"responses[{i}]", blank=True)
        for i, value in enumerate(fields.items(row, "responses"))
    )
    given = _pairs(row, "preferences", len(responses))
    unjudged = () if blank(row.get("unjudged")) else _pairs(row, "unjudged", len(responses))
    labels = (fields.identifier(row, "labeler"), _own_group(row, reading))
    ratings = () if blank(row.get("ratings")) else _ratings(row, len(responses))
    more = (unjudged, ratings)
    return [Case(asked, about, responses, given, *labels, "", True, *more)]


def _about(row: Columns, reading: Reading) -> Columns:
    """What the object ``prompt`` says of the prompt, and what was written beside it; `BadRow` if
    both say it, and not the same."""
    prompt = row["prompt"]
    if not isinstance(prompt, Mapping):
        allowed = "an object {id, text, ...}, as there are 'responses'"
        raise BadRow("prompt", f"is {type_name(prompt)} but must be {allowed}")
    beside = {name: row[name] for name in ("user", "split", "tags") if not blank(row.get(name))}
    for name, value in beside.items():
        if not blank(prompt.get(name)) and prompt[name] != value:
            raise _other(name, f"prompt.{name}", reading)
    return {**prompt, **beside}


def _own_group(row: Columns, reading: Reading) -> str:
    """The group of the labeler, which is ``group`` here and ``labeler_group`` in other shapes."""
    found = [labeler_group(row, name) for name in ("group", "labeler_group")]
    if all(found) and found[0] != found[1]:
        raise _other("labeler_group", "group", reading)
    return found[0] or found[1]


def _other(name: str, than: str, reading: Reading) -> BadRow:
    cure = reading.settings.option(f"ignore=[{name}]")
    return BadRow(name, f"is not the same as '{than}'. If it does not count: {cure}")


def _ratings(row: Columns, count: int) -> tuple[float, ...]:
    values = fields.items(row, "ratings")
    if len(values) != count:
        raise BadRow("ratings", f"has {len(values)} entries for {count} responses")
    return tuple(map(numeric, values, _numbered("ratings", count)))


def _pairs(row: Columns, field: str, count: int) -> tuple[tuple[int, int], ...]:
    values = enumerate(fields.items(row, field))
    return tuple(_pair(value, f"{field}[{i}]", count) for i, value in values)


def _pair(value: Any, field: str, count: int) -> tuple[int, int]:
    """Two different numbers of responses, of which there are ``count``."""
    pair = value if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or any(type(number) is not int for number in pair):
        better = "the better and the worse response" if field.startswith("pref") else "responses"
        raise BadRow(field, f"must be two whole numbers: {better}, from 0")
    if pair[0] == pair[1] or not all(0 <= number < count for number in pair):
        allowed = f"must be two different numbers from 0 to {count - 1}"
        raise BadRow(field, f"is {list(pair)} but {allowed}")
    return pair[0], pair[1]
