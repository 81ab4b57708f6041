"""The shapes of rows that are understood, and what each means. This folder's README.md has them as
a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from preflab.errors import nearest
from preflab.records import preferences_from_ranks
from preflab.rows import BadRow, fields, shown, type_name
from preflab_builtin.files import transcripts
from preflab_builtin.files.config import Template

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """What a row says: a prompt, the responses to it (none for a prompt alone), and (better, worse)
    pairs among them.

    about: the columns that describe the prompt (id, user, group, split, tags). part: which of
    several cases of a row.
    """

    prompt: str
    about: Columns
    responses: tuple[str, ...] = ()
    preferences: tuple[tuple[int, int], ...] = ()
    labeler: str = ""
    labeler_group: str = ""
    part: str = ""


@dataclass(frozen=True)
class Shape:
    """Columns that a row must have (and one of ``any_of``), and how it is read."""

    needs: tuple[str, ...]
    read: Callable[[Columns, Template], Sequence[Case]]
    any_of: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The columns, for messages."""
        choice = ("|".join(self.any_of),) if self.any_of else ()
        return " + ".join((*self.needs, *choice))

    def fits(self, columns: set[str]) -> bool:
        """Are these columns enough?"""
        return columns.issuperset(self.needs) and (
            not self.any_of or bool(columns.intersection(self.any_of))
        )


def cases(row: Columns, record_type: str, template: Template) -> Sequence[Case]:
    """What a row says as records of a type; `BadRow` if its columns fit no shape, or its values do
    not fit their shape."""
    shapes = SHAPES[record_type]
    filled = {column for column, value in row.items() if value is not None}
    for shape in shapes:
        if shape.fits(filled):
            return shape.read(row, template)
    for shape in shapes:
        if shape.fits(set(row)):
            missing = next(c for c in (*shape.needs, *shape.any_of) if c in row and row[c] is None)
            raise BadRow(missing, "is null")
    known = set(chain.from_iterable((*s.needs, *s.any_of) for s in shapes))
    unknown = (shown(column) for column in row if column not in known)
    hints = (nearest(column, known).partition("Did you mean ")[2] for column in unknown)
    hint = next((f" Did you mean {h}" for h in hints if h), "")
    have = ", ".join(sorted(map(shown, row))) or "none"
    allowed = "; ".join(shape.label for shape in shapes)
    reason = f"{have}: no shape of {record_type} has these. Allowed: {allowed}.{hint}"
    raise BadRow("columns", reason)


def _prompt_text(row: Columns) -> str:
    value = row["prompt"]
    if isinstance(value, (list, tuple)):
        return transcripts.asked(transcripts.turns(value, "prompt"), "prompt")
    return fields.checked_text(value, "prompt")


def _answer(value: Any, field: str, after_messages: bool) -> str:
    """A response: a text, or one assistant message. after_messages: the prompt is a list of
    messages, after which a message begins with the space of the transcript."""
    if not isinstance(value, (list, tuple)):
        return fields.checked_text(value, field)
    conversation = transcripts.turns(value, field)
    if len(conversation) != 1 or conversation[0][0] != "assistant":
        raise BadRow(field, "must be one assistant message")
    return f" {conversation[0][1]}" if after_messages else conversation[0][1]


def _case(
    row: Columns,
    prompt: str,
    responses: Sequence[str] = (),
    preferences: Sequence[tuple[int, int]] = (),
) -> Case:
    labels = (fields.identifier(row, "labeler"), fields.identifier(row, "labeler_group"))
    return Case(prompt, row, tuple(responses), tuple(preferences), *labels)


# --- prompts and demonstrations ---


def _bare_prompt(row: Columns, template: Template) -> Sequence[Case]:
    if isinstance(row["prompt"], Mapping):  # a ranking that preflab wrote
        return [_case(row["prompt"], fields.checked_text(row["prompt"].get("text"), "prompt.text"))]
    return [_case(row, _prompt_text(row))]


def _completion(row: Columns, template: Template) -> Sequence[Case]:
    if row.get("label") is False:
        reason = "is false: a completion that people disliked is not a demonstration"
        raise BadRow("label", reason)
    response = _answer(row["completion"], "completion", isinstance(row["prompt"], (list, tuple)))
    return [_case(row, _prompt_text(row), [response])]


def _messages(row: Columns, template: Template) -> Sequence[Case]:
    prompt, response = transcripts.answered(
        transcripts.turns(row["messages"], "messages"), "messages"
    )
    return [_case(row, prompt, [response])]


def _asked_messages(row: Columns, template: Template) -> Sequence[Case]:
    conversation = transcripts.turns(row["messages"], "messages")
    if conversation[-1][0] == "assistant":
        return _messages(row, template)
    return [_case(row, transcripts.asked(conversation, "messages"))]


def _instruction(row: Columns, template: Template) -> Sequence[Case]:
    given = "" if row.get("input") is None else fields.text(row, "input", blank=True)
    prompt = transcripts.instructed(fields.text(row, "instruction"), given, template)
    return [_case(row, prompt, [fields.text(row, "output")] if "output" in row else [])]


def _self_instruct(row: Columns, template: Template) -> Sequence[Case]:
    instruction, instances = fields.text(row, "instruction"), fields.items(row, "instances")
    if not instances:
        raise BadRow("instances", "is an empty list")
    cases = []
    for i, instance in enumerate(instances):
        place = f"instances[{i}]"
        if not isinstance(instance, Mapping):
            raise BadRow(place, f"is {type_name(instance)} but must be an object {{input, output}}")
        given = fields.checked_text(instance.get("input", ""), f"{place}.input", blank=True)
        output = fields.checked_text(instance.get("output"), f"{place}.output")
        part = f"/{i}" if len(instances) > 1 else ""
        prompt = transcripts.instructed(instruction, given, template)
        cases.append(Case(prompt, row, (output,), part=part))
    return cases


# --- rankings ---


def _explicit(row: Columns, template: Template) -> Sequence[Case]:
    for field in ("chosen", "rejected"):
        value = row[field]
        if not isinstance(value, (list, tuple)):
            continue
        if transcripts.turns(value, field)[0][0] != "assistant":
            # Whole conversations next to their prompt, as in UltraFeedback.
            (case,) = _implicit(row, template)
            if isinstance(row["prompt"], str) and row["prompt"] not in case.prompt:
                raise BadRow("prompt", f"is not in the conversation of '{field}'")
            return [case]
    after = isinstance(row["prompt"], (list, tuple))
    chosen, rejected = (_answer(row[field], field, after) for field in ("chosen", "rejected"))
    return [_case(row, _prompt_text(row), [chosen, rejected], [(0, 1)])]


def _implicit(row: Columns, template: Template) -> Sequence[Case]:
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) or isinstance(rejected, str):
        both = [fields.text(row, field) for field in ("chosen", "rejected")]
        prompt, better, worse = transcripts.parted(*both)
    else:
        prompt, better = transcripts.answered(transcripts.turns(chosen, "chosen"), "chosen")
        other, worse = transcripts.answered(transcripts.turns(rejected, "rejected"), "rejected")
        if other != prompt:
            raise BadRow("rejected", "and chosen differ before the last message")
    return [_case(row, prompt, [better, worse], [(0, 1)])]


def _kwise(row: Columns, template: Template) -> Sequence[Case]:
    responses = fields.texts(row, "completions")
    given = [field for field in _ORDERS if row.get(field) is not None]
    if len(given) > 1:
        raise BadRow(given[1], f"and {given[0]} are both given: which one counts?")
    field, k = given[0], len(responses)
    if field == "ratings":
        ratings = fields.items(row, field)
        values = [-_mean(value, f"ratings[{i}]") for i, value in enumerate(ratings)]
        if len(values) != k:
            raise BadRow(field, f"has {len(values)} entries for {k} completions")
    elif field == "scores":
        values = [-value for value in fields.numbers(row, field, k, "completions")]
    else:
        values = fields.numbers(row, field, k, "completions")
        if values and min(values) != 1:
            hint = "(for 'higher is better' use 'scores')"
            raise BadRow(field, f"starts at {min(values):g} but must start at 1, the best {hint}")
    preferences = preferences_from_ranks(values)
    for i, j in preferences:
        if responses[i] == responses[j]:
            reason = f"numbers {i} and {j} are the same text but ranked differently"
            raise BadRow("completions", reason)
    return [_case(row, _prompt_text(row), responses, preferences)]


def _mean(value: Any, field: str) -> float:
    if not isinstance(value, (list, tuple)):
        return fields.number(value, field)
    if not value:
        raise BadRow(field, "is an empty list")
    return sum(fields.number(v, field) for v in value) / len(value)


def _llmbar(row: Columns, template: Template) -> Sequence[Case]:
    responses = [fields.text(row, "output_1"), fields.text(row, "output_2")]
    label = row["label"]
    if isinstance(label, bool) or label not in (1, 2):
        allowed = "must be 1 or 2, the number of the better output"
        raise BadRow("label", f"is {shown(str(label))} but {allowed}")
    prompt = transcripts.instructed(fields.text(row, "input"), "", template)
    return [_case(row, prompt, responses, [(0, 1) if label == 1 else (1, 0)])]


def _own(row: Columns, template: Template) -> Sequence[Case]:
    """What preflab's comparisons stage writes (`preflab.records.to_json`)."""
    about = row["prompt"]
    if not isinstance(about, Mapping):
        allowed = "an object {id, text, ...}, as there are 'responses'"
        raise BadRow("prompt", f"is {type_name(about)} but must be {allowed}")
    responses = tuple(fields.texts(row, "responses"))
    pairs = tuple(
        _pair(pair, f"preferences[{i}]", len(responses))
        for i, pair in enumerate(fields.items(row, "preferences"))
    )
    labels = (fields.identifier(row, "labeler"), fields.identifier(row, "group"))
    prompt = fields.checked_text(about.get("text"), "prompt.text")
    return [Case(prompt, about, responses, pairs, *labels)]


def _pair(value: Any, field: str, count: int) -> tuple[int, int]:
    """(better, worse): two different numbers of responses, of which there are ``count``."""
    pair = value if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or any(type(number) is not int for number in pair):
        raise BadRow(field, "must be two whole numbers: the better and the worse response, from 0")
    if pair[0] == pair[1] or not all(0 <= number < count for number in pair):
        allowed = f"must be two different numbers from 0 to {count - 1}"
        raise BadRow(field, f"is {list(pair)} but {allowed}")
    return pair[0], pair[1]


# --- documents ---


def _text(row: Columns, template: Template) -> Sequence[Case]:
    return [Case(fields.text(row, "text"), row)]


def _transcript(row: Columns, template: Template) -> Sequence[Case]:
    return [Case(transcripts.rendered(transcripts.turns(row["messages"], "messages")), row)]


_ORDERS = ("ranks", "ranking", "scores", "ratings")
SHAPES: dict[str, tuple[Shape, ...]] = {
    "prompts": (
        Shape(("prompt",), _bare_prompt),
        Shape(("chosen", "rejected"), _implicit),
        Shape(("messages",), _asked_messages),
        Shape(("instruction", "instances"), _self_instruct),
        Shape(("instruction",), _instruction),
        Shape(("input", "output_1", "output_2", "label"), _llmbar),
    ),
    "demonstrations": (
        Shape(("prompt", "completion"), _completion),
        Shape(("messages",), _messages),
        Shape(("instruction", "instances"), _self_instruct),
        Shape(("instruction", "output"), _instruction),
    ),
    "rankings": (
        Shape(("prompt", "responses", "preferences"), _own),
        Shape(("prompt", "completions"), _kwise, _ORDERS),
        Shape(("prompt", "chosen", "rejected"), _explicit),
        Shape(("chosen", "rejected"), _implicit),
        Shape(("input", "output_1", "output_2", "label"), _llmbar),
    ),
    "documents": (
        Shape(("text",), _text),
        Shape(("messages",), _transcript),
    ),
}
"""The shapes of each record type, the more specific first."""
