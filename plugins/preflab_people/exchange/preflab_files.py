"""preflab's own files, out and back: tasks.jsonl, labels.jsonl and labelers.json hold everything
that people said (the folder of a frozen round holds them too), rankings.jsonl and
demonstrations.jsonl what ``rankings=files`` and ``demonstrations=files`` read as training data.

A rankings.jsonl alone can be read back as well: the ranks of an answer follow from its pairs, as
long as they are those of one order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from preflab.errors import UserError
from preflab.records import RANKINGS_FILE, preferences_from_ranks, ranking_from_json, to_json
from preflab.rows import BadRow, fields, read_table, shown, type_name
from preflab_people.exchange import training
from preflab_people.exchange.labels import Gathering, Labels, shown_prompt
from preflab_people.exchange.writing import write_lines, write_text
from preflab_people.judgments import (
    ORIGINS,
    TASK_KINDS,
    Answer,
    Judgment,
    Person,
    PersonState,
    Task,
    judgment_from_json,
    judgment_to_json,
    task_from_json,
    task_id,
    task_to_json,
)

TASKS, LABELS, LABELERS = "tasks.jsonl", "labels.jsonl", "labelers.json"
DEMONSTRATIONS = "demonstrations.jsonl"
_NAMES = ("id", "group", "held_out", "state")


def write(labels: Labels, folder: Path) -> list[Path]:
    """All five files; the last two only if there is something for them."""
    origin = {task.id: task.origin for task in labels.tasks}
    person = {one.id: one for one in labels.people}
    rows = [
        {
            **judgment_to_json(one),
            "group": person[one.labeler].group,
            "held_out": person[one.labeler].held_out,
            "origin": origin[one.task],
        }
        for one in labels.judgments
    ]
    people = [{name: getattr(one, name) for name in _NAMES} for one in labels.people]
    made = [
        write_lines(folder / TASKS, map(task_to_json, labels.tasks)),
        write_lines(folder / LABELS, rows),
        write_text(folder / LABELERS, json.dumps(people, indent=1, ensure_ascii=False) + "\n"),
    ]
    rankings = [to_json(one) for one in training.rankings(labels)]
    written = [_demonstration(one) for one in training.demonstrations(labels)]
    for name, some in ((RANKINGS_FILE, rankings), (DEMONSTRATIONS, written)):
        if some:
            made.append(write_lines(folder / name, some))
    return made


def read(path: Path, gathering: Gathering) -> None:
    """A folder of tasks and labels, or a file of rankings."""
    if not path.is_dir():
        for _ in read_table(path, lambda row: _ranking(row, gathering)):
            pass
        return
    for name in (TASKS, LABELS):
        if not (path / name).is_file():
            raise UserError(
                f"{path}: there is no {name} in it. Allowed: the folder of a frozen round or of an "
                f"export with {TASKS} and {LABELS}, or a file {RANKINGS_FILE}."
            )
    if (path / LABELERS).is_file():
        for person in read_table(path / LABELERS, _person):
            gathering.people[person.id] = person
    for task in read_table(path / TASKS, _task):
        gathering.task(task)
    if not (path / LABELS).stat().st_size:  # nobody has judged anything yet
        return
    for _ in read_table(path / LABELS, lambda row: _label(row, gathering)):
        pass


def ranks_of(count: int, preferences: Sequence[tuple[int, int]]) -> tuple[int | None, ...] | None:
    """The ranks of which these are the (better, worse) pairs; None if they are those of no order,
    such as the pairs of several people. A response in no pair was not judged, unless nothing else
    fits.

    >>> ranks_of(3, [(0, 1), (0, 2)]), ranks_of(3, [(0, 1)]), ranks_of(3, [(0, 1), (1, 0)])
    ((1, 2, 2), (1, 2, None), None)
    """
    judged = sorted({i for pair in preferences for i in pair})
    if any(not 0 <= i < count for i in judged):
        return None
    beaten = {i: sum(worse == i for _, worse in preferences) for i in judged}
    place = {n: rank for rank, n in enumerate(sorted(set(beaten.values())), 1)}
    ranks = {i: place[beaten[i]] for i in judged}
    pairs = preferences_from_ranks([ranks[i] for i in judged])
    if sorted((judged[i], judged[j]) for i, j in pairs) != sorted(preferences):
        return None
    return tuple(ranks.get(i) for i in range(count))


def _demonstration(one: training.Written) -> dict[str, Any]:
    """A row that ``demonstrations=files`` reads."""
    about = {k: v for k, v in to_json(one.prompt).items() if v and k not in ("text", "messages")}
    about |= {"labeler": one.labeler, "labeler_group": one.group}
    return {"prompt": shown_prompt(one.prompt), "completion": one.response, **about}


def _person(row: Mapping[str, Any]) -> Person:
    state = fields.one_of(row.get("state", "active"), "state", get_args(PersonState))
    held_out = fields.one_of(row.get("held_out", False), "held_out", (True, False))
    return Person(fields.text(row, "id"), fields.identifier(row, "group"), held_out, state)


def _task(row: Mapping[str, Any]) -> Task:
    fields.text(row, "id")
    fields.one_of(row.get("kind"), "kind", TASK_KINDS)
    fields.one_of(row.get("origin"), "origin", ORIGINS)
    for i, text in enumerate(fields.items(row, "responses")):
        fields.checked_text(text, f"responses[{i}]", blank=True)
    if not isinstance(row.get("prompt"), Mapping):
        raise BadRow("prompt", f"is {type_name(row.get('prompt'))} but must be an object")
    fields.text(row["prompt"], "text")
    try:
        return task_from_json(row)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRow("task", f"is not one of preflab's: {error}") from None


def _label(row: Mapping[str, Any], gathering: Gathering) -> None:
    name = fields.text(row, "task")
    if name not in gathering.tasks:
        raise BadRow("task", f"'{shown(name)}' is not in {TASKS}")
    values = {k: v for k, v in row.items() if k not in ("group", "held_out", "origin")}
    try:
        judgment = judgment_from_json(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRow("answer", f"is not one of preflab's: {error}") from None
    group, held_out = fields.identifier(row, "group"), bool(row.get("held_out"))
    gathering.people.setdefault(judgment.labeler, Person(judgment.labeler, group, held_out))
    gathering.judge(judgment, "answer")


def _ranking(row: Mapping[str, Any], gathering: Gathering) -> None:
    """A ranking as `preflab.records.to_json` writes it."""
    try:
        found = ranking_from_json(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"the row is no ranking of preflab's: {error}"
        raise BadRow("preferences", f"{problem}. Files of other shapes: rankings=files") from None
    ranks = ranks_of(len(found.responses), found.preferences)
    if ranks is None:
        problem = "are those of no order of the responses: they hold several people's votes"
        raise BadRow("preferences", f"{problem}. Use rankings=files for training")
    name = task_id("rank", found.prompt, found.responses)
    task = gathering.task(Task(name, "rank", found.prompt, found.responses))
    labeler = gathering.person(found.labeler or "unknown")
    gathering.people[labeler] = Person(labeler, found.group)
    gathering.remark("{n} rankings hold no tie that says so: equal ranks are taken for ties.")
    gathering.judge(Judgment(task.id, labeler, Answer(ranks=ranks)), "preferences")
