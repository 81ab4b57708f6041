"""preflab's own files, out and back: tasks.jsonl, labels.jsonl and labelers.json hold everything
that people said (the folder of a frozen round holds them too), rankings.jsonl and
demonstrations.jsonl what ``rankings=files`` and ``demonstrations=files`` read as training data.

A rankings.jsonl alone can be read back as well: the ranks of an answer follow from its pairs, as
long as they are those of one order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from preflab.errors import UserError
from preflab.records import RANKINGS_FILE, Ranking, ranking_from_json, to_json
from preflab.rows import BadRow, fields, read_table, shown, type_name
from preflab_builtin.files.values import numeric
from preflab_people.exchange.labels import MOST_LIKERT, Gathering, Labels
from preflab_people.exchange.writing import write_lines, write_text
from preflab_people.frozen import (
    DEMONSTRATIONS,
    LABELERS,
    LABELS,
    NOT_SAID,
    TASKS,
    label_row,
    person_row,
)
from preflab_people.judgments import (
    ORIGINS,
    TASK_KINDS,
    Answer,
    Judgment,
    Person,
    PersonState,
    Task,
    judgment_from_json,
    task_from_json,
    task_id,
    task_to_json,
)
from preflab_people.training import (
    canonical,
    demonstration_row,
    demonstrations,
    preferences,
    rankings,
    unjudged,
)


def write(labels: Labels, folder: Path) -> list[Path]:
    """All five files; the last two only if there is something for them."""
    judged = canonical(labels.tasks, labels.judgments, labels.people)
    people = json.dumps(list(map(person_row, labels.people)), indent=1, ensure_ascii=False)
    made = [
        write_lines(folder / TASKS, map(task_to_json, labels.tasks)),
        write_lines(folder / LABELS, map(label_row, judged)),
        write_text(folder / LABELERS, f"{people}\n"),
    ]
    ranked = [to_json(one) for one in rankings(judged) if one.preferences]
    written = list(map(demonstration_row, demonstrations(judged)))
    for name, some in ((RANKINGS_FILE, ranked), (DEMONSTRATIONS, written)):
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


def ranks_of(found: Ranking) -> tuple[int | None, ...] | None:
    """The ranks of which these are the preferences and ties; None if they are those of no order,
    such as the pairs of several people. A response that was compared with no other has none.

    >>> from preflab.records import Prompt
    >>> asked = (Prompt("p", "?"), ("a", "b", "c"), ((0, 1),), "", "")
    >>> ranks_of(Ranking(*asked, unjudged=((0, 2), (1, 2)))), ranks_of(Ranking(*asked))
    ((1, 2, None), None)
    """
    count, texts = len(found.responses), found.responses
    other = {i: {j for j in range(count) if texts[j] != texts[i]} for i in range(count)}
    missing: dict[int, set[int]] = {i: set() for i in range(count)}
    for i, j in found.unjudged:
        missing[i].add(j)
        missing[j].add(i)
    judged = [i for i in range(count) if not other[i] or missing[i] < other[i]]
    beaten = {i: sum(worse == i for _, worse in found.preferences) for i in judged}
    place = {n: rank for rank, n in enumerate(sorted(set(beaten.values())), 1)}
    ranks = tuple(place[beaten[i]] if i in beaten else None for i in range(count))
    answer = Answer(ranks=ranks)
    said = (sorted(preferences(answer, texts)), sorted(unjudged(answer, texts)))
    return ranks if said == (sorted(found.preferences), sorted(found.unjudged)) else None


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
    values = {k: v for k, v in row.items() if k not in NOT_SAID}
    seconds = numeric(row.get("seconds", 0.0), "seconds")
    if not 0 <= seconds < math.inf:
        raise BadRow("seconds", f"is {seconds:g}. Allowed: 0 or more")
    fields.text(row, "labeler")
    if not isinstance(row.get("instructions", 1), int) or not isinstance(row.get("at", ""), str):
        raise BadRow("instructions", "must be a whole number, and at a text")
    if not all(type(place) is int for place in fields.items(row, "order")):
        raise BadRow("order", "must be a list of whole numbers")
    values["seconds"] = seconds
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
    ranks = ranks_of(found)
    if ranks is None:
        problem = "are those of no order of the responses: they hold several people's votes"
        raise BadRow("preferences", f"{problem}. Use rankings=files for training")
    asked = task_id("rank", found.prompt, found.responses)
    task = gathering.task(Task(asked, "rank", found.prompt, found.responses))
    name = found.labeler or f"unknown {found.group}".rstrip()
    labeler = gathering.person(name, found.group)
    likert = tuple(int(rating) for rating in found.ratings if rating in range(1, MOST_LIKERT + 1))
    if len(likert) != len(found.ratings):
        gathering.not_read({"ratings": found.ratings}, ())
        likert = ()
    gathering.judge(Judgment(task.id, labeler, Answer(ranks, likert)), "preferences")
