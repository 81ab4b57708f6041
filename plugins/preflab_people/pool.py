"""The tasks of a round: from a pool of responses or from prompts, how many people each one wants,
and what the researcher answers beforehand (gold items and screening tasks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preflab.errors import UserError, nearest
from preflab.pool import Answered, Pool
from preflab.randomness import permutation
from preflab.records import Prompt
from preflab_people.judgments import Answer, Origin, Task, TaskKind, canonical_digest, task_id
from preflab_people.sources import Joined, read_lines

FIELDS = ("prompt", "prompt_id", "responses", "ranks", "likert", "flags", "written", "use")
"""Columns of a researcher's file."""
USES: tuple[Origin, ...] = ("gold", "screening")


@dataclass(frozen=True)
class Prepared:
    """What a researcher answered beforehand."""

    gold: tuple[Task, ...] = ()
    screening: tuple[Task, ...] = ()


# --- tasks ---


def some(count: int, wanted: int | None, *name: str) -> list[int]:
    """Which of ``count`` things are chosen, in order: the same ones for the same name.

    >>> some(3, None, "any"), len(some(100, 7, "any"))
    ([0, 1, 2], 7)
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted(permutation(count, "people", *name)[:wanted])


def rank_tasks(pool: Pool, most: int | None = None) -> list[Task]:
    """A task for each prompt whose responses differ; most: of so many prompts. Where all texts are
    equal there is nothing to judge."""
    return [_task("rank", pool.answered[i]) for i in _judged(pool, most)]


def compare_tasks(runs: Joined, most: int | None = None) -> list[Task]:
    """The same for the responses of several runs: the arms stand beside what they gave."""
    pool = runs.pool
    chosen = _judged(pool, most)
    return [_task("compare", pool.answered[i], runs.arms[i]) for i in chosen]


def equal_prompts(pool: Pool, most: int | None = None) -> dict[str, str]:
    """The prompts for which there is no task: their texts, with a digest of the one response."""
    rows = (pool.answered[i] for i in _chosen(pool, most))
    return {
        row.prompt.text: canonical_digest(row.responses[0])
        for row in rows
        if len(set(row.responses)) == 1
    }


def _chosen(pool: Pool, most: int | None) -> list[int]:
    return some(len(pool.answered), most, pool.digest, "tasks")


def _judged(pool: Pool, most: int | None) -> list[int]:
    return [i for i in _chosen(pool, most) if len(set(pool.answered[i].responses)) > 1]


def _task(kind: TaskKind, row: Answered, arms: tuple[tuple[str, ...], ...] = ()) -> Task:
    name = task_id(kind, row.prompt, row.responses)
    return Task(name, kind, row.prompt, row.responses, arms)


def pair_tasks(runs: Joined, baseline: str, most: int | None = None) -> list[Task]:
    """For each prompt and each other response: that and the one of the arm ``baseline``."""
    tasks = []
    for task in compare_tasks(runs, most):
        at = next(i for i, names in enumerate(task.arms) if baseline in names)
        for other in (i for i in range(len(task.arms)) if i != at):
            responses = (task.responses[other], task.responses[at])
            arms = (task.arms[other], task.arms[at])
            name = task_id("compare", task.prompt, responses)
            tasks.append(replace(task, id=name, responses=responses, arms=arms))
    return tasks


def demonstration_tasks(prompts: Sequence[Prompt], most: int | None = None) -> list[Task]:
    """A task for each prompt to which a response is to be written; equal texts are asked once."""
    first: dict[str, Prompt] = {}
    for prompt in prompts:
        first.setdefault(prompt.text, prompt)
    distinct = list(first.values())
    chosen = [distinct[i] for i in some(len(distinct), most, "demonstrations")]
    return [Task(task_id("demonstrate", p, ()), "demonstrate", p) for p in chosen]


def with_overlap(tasks: Sequence[Task], share: float, people: int = 2) -> list[Task]:
    """The same tasks, of which a share wants several people. The ones that do are spread evenly by
    a hash, and are the same for the same tasks.

    >>> task = Task("t", "demonstrate", Prompt("1", "a"))
    >>> [t.want for t in with_overlap([replace(task, id=f"t{i}") for i in range(4)], 0.5)]
    [1, 2, 1, 2]
    """
    number = round(share * len(tasks))
    chosen = set(some(len(tasks), number, "overlap", *(task.id for task in tasks[:1])))
    return [replace(task, want=people if i in chosen else 1) for i, task in enumerate(tasks)]


# --- what the researcher answered ---


def read_prepared(path: Path, kind: TaskKind, pool: Sequence[Task]) -> Prepared:
    """Gold items and screening tasks of a file of JSON lines.

    A row has a prompt and responses of its own, or the ``prompt_id`` of a task of the pool; the
    researcher's ``ranks`` (and ``likert``, ``flags``), or a text ``written``; and ``use``: gold or
    screening. `UserError` with file, line and field.
    """
    found: dict[str, list[Task]] = {use: [] for use in USES}
    by_prompt = {task.prompt.id: task for task in pool}
    seen: dict[tuple[str, str], str] = {}
    for row in read_lines(path):
        place = str(row.pop("place"))
        unknown = next((name for name in row if name not in FIELDS), None)
        if unknown is not None:
            raise UserError(f"{place}: {unknown}: is no field. {nearest(unknown, FIELDS)}")
        use = str(row.get("use", ""))
        if use not in USES:
            raise UserError(f"{place}: use: is {use!r}. {nearest(use, USES)}")
        task = _answered_task(row, place, kind, by_prompt)
        if (use, task.id) in seen:
            raise UserError(f"{place}: the same task is in line {seen[use, task.id]} already")
        seen[use, task.id] = place
        found[use].append(task)
    return Prepared(tuple(found["gold"]), tuple(found["screening"]))


def _answered_task(
    row: Mapping[str, Any], place: str, kind: TaskKind, pool: Mapping[str, Task]
) -> Task:
    prompt, responses = _asked(row, place, kind, pool)
    expected = Answer(
        ranks=_numbers(row, "ranks", place, len(responses), len(responses)),
        likert=_numbers(row, "likert", place, len(responses), 7),
        flags=_flags(row, place, len(responses)),
        written=str(row.get("written", "")),
    )
    if kind == "demonstrate" and not expected.written:
        raise UserError(f"{place}: written: is missing: what should be written here?")
    if kind != "demonstrate" and not (expected.ranks or any(expected.flags)):
        raise UserError(
            f"{place}: ranks: is missing: the rank of each response, 1 the best, equal for ties"
        )
    origin = next(use for use in USES if use == row["use"])
    name = task_id(kind, prompt, responses, origin)
    return Task(name, kind, prompt, responses, origin=origin, expected=expected)


def _asked(
    row: Mapping[str, Any], place: str, kind: TaskKind, pool: Mapping[str, Task]
) -> tuple[Prompt, tuple[str, ...]]:
    if "prompt_id" in row:
        task = pool.get(str(row["prompt_id"]))
        if task is None or "prompt" in row or "responses" in row:
            raise UserError(
                f"{place}: prompt_id: must be the id of a prompt of this round, alone; or give "
                "prompt and responses"
            )
        return task.prompt, task.responses
    text, responses = row.get("prompt"), row.get("responses", [])
    if not isinstance(text, str) or not text:
        raise UserError(f"{place}: prompt: must be a text")
    if not isinstance(responses, list) or not all(isinstance(r, str) for r in responses):
        raise UserError(f"{place}: responses: must be a list of texts")
    if kind != "demonstrate" and len(set(responses)) < 2:
        raise UserError(f"{place}: responses: at least two different ones are needed")
    name = task_id(kind, Prompt("", text), responses)
    return Prompt(f"item-{name}", text), tuple(responses)


def _numbers(
    row: Mapping[str, Any], field: str, place: str, count: int, most: int
) -> tuple[int, ...]:
    values = row.get(field)
    if values is None:
        return ()
    fits = isinstance(values, list) and len(values) == count
    if not fits or not all(type(v) is int and 1 <= v <= most for v in values):
        raise UserError(
            f"{place}: {field}: must be {count} whole numbers from 1 to {most}, one for each "
            "response"
        )
    return tuple(values)


def _flags(row: Mapping[str, Any], place: str, count: int) -> tuple[tuple[str, ...], ...]:
    values = row.get("flags")
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) != count:
        raise UserError(f"{place}: flags: must be {count} lists of names, one for each response")
    if not all(isinstance(names, list) for names in values):
        raise UserError(f"{place}: flags: must be lists of names, [] for a response without any")
    return tuple(tuple(map(str, names)) for names in values)
