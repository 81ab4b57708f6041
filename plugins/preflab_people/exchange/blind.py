"""What tools in which others label are given, and how their answers are read: normal tasks without
runs and gold, so that whoever labels there is blind. Argilla and Label Studio share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.errors import UserError
from preflab.records import Prompt
from preflab.rows import BadRow, fields
from preflab_builtin.files.labelers import COLUMN as GROUP
from preflab_builtin.files.values import numeric
from preflab_people.exchange.labels import Asks, Labels, about_prompt, whole_ranks
from preflab_people.exchange.privacy import for_training
from preflab_people.judgments import TASK_KINDS, Answer, Judgment, Origin, Person, Task, task_id

NO_FLAG = "none of these"
"""The choice that says that flags were asked for and none was set."""
ABOUT = (
    *("kind", "want", "prompt_id", "prompt_is", "prompt_text", "group", "split", "tags"),
    *("labelers", GROUP),
)
"""What is read of a row beside what is shown, and of its metadata."""


@dataclass(frozen=True)
class Sheets:
    """Tasks with what was said of them. flags: that are asked for, then others that were set.
    reasons: of skips, the same. likert: ratings are asked for, or were given. instructions: for
    whoever labels. conversations: the prompts are conversations. most: responses of the longest
    task."""

    rows: Sequence[tuple[Task, Sequence[Judgment]]]
    people: Sequence[Person]
    flags: Sequence[str]
    reasons: Sequence[str]
    likert: bool
    instructions: str
    conversations: bool
    most: int


def sheets(labels: Labels, place: str) -> Sheets:
    """What a tool is given. place: where a prompt is shown there, for messages. `UserError` for a
    round of both texts and conversations, and for a flag that nobody could tell from none."""
    some = for_training(labels)
    kinds = {bool(task.prompt.messages) for task in some.tasks}
    if len(kinds) > 1:
        raise UserError(
            f"Some prompts are texts and some are conversations, but {place} is one of them. "
            "Export the round as preflab, which holds both."
        )
    answers = [one.answer for one in some.judgments]
    asks = some.asks or Asks(likert=True)  # a file of another tool: nothing forbids ratings
    set_flags = sorted({flag for answer in answers for names in answer.flags for flag in names})
    flags = list(dict.fromkeys([*asks.flags, *set_flags]))
    given = sorted({answer.skipped for answer in answers if answer.skipped})
    if NO_FLAG in flags:
        raise UserError(f"A flag is called '{NO_FLAG}', which here means that none was set.")
    by_task: dict[str, list[Judgment]] = {task.id: [] for task in some.tasks}
    for judgment in some.judgments:
        by_task[judgment.task].append(judgment)
    return Sheets(
        [(task, by_task[task.id]) for task in some.tasks],
        some.people,
        flags,
        list(dict.fromkeys([*asks.skip_reasons, *given])),
        asks.likert or any(answer.likert for answer in answers),
        asks.instructions,
        True in kinds,
        max((len(task.responses) for task in some.tasks), default=0),
    )


def about_task(task: Task) -> dict[str, Any]:
    """What must be kept of a task beside what is shown, so that it comes back whole."""
    return {"kind": task.kind, "want": task.want, **about_prompt(task.prompt)}


def task_of(
    name: str,
    prompt: Prompt,
    responses: tuple[str, ...],
    about: Mapping[str, Any],
    expected: Answer | None = None,
) -> Task:
    """The task of a row. name: its id, "" if it has none. about: see `about_task`. expected: what
    the researcher holds right, which makes it gold."""
    usual = "rank" if responses else "demonstrate"
    kind = fields.one_of(about.get("kind", usual), "kind", TASK_KINDS)
    origin: Origin = "normal" if expected is None else "gold"
    return Task(
        name or task_id(kind, prompt, responses),
        kind,
        prompt,
        responses,
        origin=origin,
        want=int(numeric(about.get("want", 1), "want")),
        expected=expected,
    )


def answer_of(
    count: int,
    ranks: Sequence[float | None],
    ratings: Mapping[int, int],
    flags: Mapping[int, Sequence[str]],
    written: str,
    notes: str,
) -> Answer:
    """An answer about so many responses. ranks: in any of the usual ways. ratings, flags: by the
    number of the response, from 1."""
    numbers = range(1, count + 1)
    set_flags = {i: tuple(f for f in names if f != NO_FLAG) for i, names in flags.items()}
    return Answer(
        ranks=whole_ranks(ranks),
        likert=tuple(ratings.get(i) for i in numbers) if ratings else (),
        flags=tuple(set_flags.get(i, ()) for i in numbers) if flags else (),
        written=written,
        notes=notes,
    )


def one_text(texts: Mapping[str, str], field: str) -> str:
    """The one text that a person wrote, by the question that asked for it; "" for none. `BadRow`
    for two of them."""
    given = {name: text for name, text in texts.items() if text.strip()}
    if len(given) > 1:
        names = " and ".join(sorted(given))
        problem = f"{names} both hold a written answer: leave one of them out, or call it notes"
        raise BadRow(field, problem)
    return next(iter(given.values()), "")


def says_something(answer: Answer) -> bool:
    """Whether an answer is about the task, and not only a note."""
    return answer != Answer(notes=answer.notes)
