"""The shapes of rows that are understood, and what each means. README.md in this folder has them as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from preflab.errors import nearest
from preflab.records import preferences_from_ranks
from preflab_builtin.files import fields, transcripts
from preflab_builtin.files.config import Template
from preflab_builtin.files.reading import type_name
from preflab_builtin.files.rows import BadRow
from preflab_builtin.files.strict_json import shown

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """What a row says: a prompt, the responses to it (none for a prompt alone), and (better, worse) pairs among them.

    about: the columns that describe the prompt (id, user, group, split, tags). part: which of several cases of a row.
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
    """What a row says as records of a type; `BadRow` if its columns fit no shape, or its values not their shape."""
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
    hints = (
        nearest(shown(column), known).partition("Did you mean ")[2]
        for column in row
        if column not in known
    )
    hint = next((f" Did you mean {h}" for h in hints if h), "")
    have = ", ".join(sorted(map(shown, row))) or "none"
    allowed = "; ".join(shape.label for shape in shapes)
    raise BadRow(
        "columns", f"{have}: no shape of {record_type} has these. Allowed: {allowed}.{hint}"
    )


def _prompt_text(row: Columns) -> str:
    value = row["prompt"]
    if isinstance(value, (list, tuple)):
        return transcripts.asked(transcripts.turns(value, "prompt"), "prompt")
    return fields.checked_text(value, "prompt")


def _answer(value: Any, field: str, after_messages: bool) -> str:
    """A response: a text, or one assistant message (after a rendered prompt it begins with the space of the template)."""
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
    labels = (fields.name(row, "labeler"), fields.name(row, "labeler_group"))
    return Case(prompt, row, tuple(responses), tuple(preferences), *labels)


# --- prompts and demonstrations --------------------------------------------------------------------------------


def _bare_prompt(row: Columns, template: Template) -> Sequence[Case]:
    if isinstance(row["prompt"], Mapping):  # a ranking that preflab wrote
        return [_case(row["prompt"], fields.checked_text(row["prompt"].get("text"), "prompt.text"))]
    return [_case(row, _prompt_text(row))]


def _completion(row: Columns, template: Template) -> Sequence[Case]:
    if row.get("label") is False:
        raise BadRow("label", "is false: a completion that people disliked is no demonstration")
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
    found = []
    for i, instance in enumerate(instances):
        place = f"instances[{i}]"
        if not isinstance(instance, Mapping):
            raise BadRow(place, f"is {type_name(instance)} but must be an object {{input, output}}")
        given = fields.checked_text(instance.get("input", ""), f"{place}.input", blank=True)
        output = fields.checked_text(instance.get("output"), f"{place}.output")
        part = f"/{i}" if len(instances) > 1 else ""
        found.append(
            Case(transcripts.instructed(instruction, given, template), row, (output,), part=part)
        )
    return found


# --- rankings --------------------------------------------------------------------------------------------------


def _explicit(row: Columns, template: Template) -> Sequence[Case]:
    for field in ("chosen", "rejected"):
        value = row[field]
        if (
            isinstance(value, (list, tuple))
            and transcripts.turns(value, field)[0][0] != "assistant"
        ):
            (case,) = _implicit(
                row, template
            )  # whole conversations beside their prompt, as in UltraFeedback
            if isinstance(row["prompt"], str) and row["prompt"] not in case.prompt:
                raise BadRow("prompt", f"does not stand in the conversation of '{field}'")
            return [case]
    after = isinstance(row["prompt"], (list, tuple))
    chosen, rejected = (_answer(row[field], field, after) for field in ("chosen", "rejected"))
    return [_case(row, _prompt_text(row), [chosen, rejected], [(0, 1)])]


def _implicit(row: Columns, template: Template) -> Sequence[Case]:
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, str) or isinstance(rejected, str):
        whole = [fields.text(row, field) for field in ("chosen", "rejected")]
        prompt, better, worse = transcripts.parted(*whole)
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
        values = [
            -_mean(value, f"ratings[{i}]") for i, value in enumerate(fields.items(row, field))
        ]
        if len(values) != k:
            raise BadRow(field, f"has {len(values)} entries for {k} completions")
    elif field == "scores":
        values = [-value for value in fields.numbers(row, field, k)]
    else:
        values = fields.numbers(row, field, k)
        if values and min(values) != 1:
            raise BadRow(
                field,
                f"starts at {min(values):g} but must start at 1, the best (for 'higher is better' use 'scores')",
            )
    preferences = preferences_from_ranks(values)
    for i, j in preferences:
        if responses[i] == responses[j]:
            raise BadRow(
                "completions", f"numbers {i} and {j} are the same text but ranked differently"
            )
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
        raise BadRow(
            "label", f"is {shown(str(label))} but must be 1 or 2, the number of the better output"
        )
    prompt = transcripts.instructed(fields.text(row, "input"), "", template)
    return [_case(row, prompt, responses, [(0, 1) if label == 1 else (1, 0)])]


def _own(row: Columns, template: Template) -> Sequence[Case]:
    """What preflab's comparisons stage writes (`preflab.records.to_json`)."""
    about = row["prompt"]
    if not isinstance(about, Mapping):
        raise BadRow(
            "prompt",
            f"is {type_name(about)} but must be an object {{id, text, ...}} beside 'responses'",
        )
    responses = fields.texts(row, "responses")
    pairs = []
    for i, pair in enumerate(fields.items(row, "preferences")):
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or any(type(p) is not int for p in pair)
        ):
            raise BadRow(
                f"preferences[{i}]",
                "must be two whole numbers: the better and the worse response, from 0",
            )
        if pair[0] == pair[1] or not all(0 <= p < len(responses) for p in pair):
            raise BadRow(
                f"preferences[{i}]",
                f"is {list(pair)} but must be two different numbers from 0 to {len(responses) - 1}",
            )
        pairs.append((pair[0], pair[1]))
    labels = (fields.name(row, "labeler"), fields.name(row, "group"))
    return [
        Case(
            fields.checked_text(about.get("text"), "prompt.text"),
            about,
            tuple(responses),
            tuple(pairs),
            *labels,
        )
    ]


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
        Shape(("text",), lambda row, template: [Case(fields.text(row, "text"), row)]),
        Shape(
            ("messages",),
            lambda row, t: [
                Case(transcripts.rendered(transcripts.turns(row["messages"], "messages")), row)
            ],
        ),
    ),
}
"""The shapes of each record type, the more specific first."""
