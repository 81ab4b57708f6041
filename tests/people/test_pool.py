"""The tasks of a round: which, how many people each wants, and what was answered beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.pool import Answered, Pool
from preflab.records import Prompt
from preflab_people.judgments import Answer
from preflab_people.pool import (
    demonstration_tasks,
    pair_tasks,
    rank_tasks,
    read_prepared,
    with_overlap,
)
from preflab_people.sources import Joined

PROMPTS = tuple(Prompt(str(i), f"say {i} .", split="train") for i in range(40))


def pool(*responses: tuple[str, ...], digest: str = "ab" * 32) -> Pool:
    """Responses to the first prompts."""
    return Pool(tuple(map(Answered, PROMPTS, responses)), digest)


POOL = pool(*((f"a{i}", "b", "b") for i in range(40)))


def test_a_task_for_each_prompt_whose_responses_differ() -> None:
    same = pool(("a", "a"), ("a", "b"))
    (task,) = rank_tasks(same)
    assert (task.kind, task.prompt, task.responses) == ("rank", PROMPTS[1], ("a", "b"))
    assert len(rank_tasks(POOL)) == 40


def test_some_of_the_prompts_are_the_same_ones_always() -> None:
    chosen = rank_tasks(POOL, most=10)
    assert chosen == rank_tasks(POOL, most=10)
    assert len(chosen) == 10
    assert [t.prompt.id for t in chosen] != [p.id for p in PROMPTS[:10]]  # not the first ones
    other = rank_tasks(replace(POOL, digest="cd" * 32), most=10)
    assert [t.prompt.id for t in other] != [t.prompt.id for t in chosen]


def test_a_share_of_the_tasks_wants_several_people() -> None:
    tasks = rank_tasks(POOL)
    assert [t.want for t in with_overlap(tasks, 0.0)] == [1] * 40
    wants = [t.want for t in with_overlap(tasks, 0.2, 3)]
    assert sorted(wants) == [1] * 32 + [3] * 8
    assert wants != sorted(wants)  # spread over the pool
    assert [t.id for t in with_overlap(tasks, 0.2)] == [t.id for t in tasks]


def test_pairs_against_one_baseline() -> None:
    """Of three arms one gave the baseline's text to the first prompt: one pair is left of it."""
    responses = (("x", "y"), ("x", "y", "z"))
    arms = ((("one",), ("two", "base")), (("one",), ("two",), ("base",)))
    tasks = pair_tasks(Joined(pool(*responses), arms), "base")
    assert [(t.prompt.id, t.responses, t.arms) for t in tasks] == [
        ("0", ("x", "y"), (("one",), ("two", "base"))),
        ("1", ("x", "z"), (("one",), ("base",))),
        ("1", ("y", "z"), (("two",), ("base",))),
    ]
    assert len({t.id for t in tasks}) == 3


def test_a_prompt_is_demonstrated_once() -> None:
    again = [*PROMPTS[:3], Prompt("other", PROMPTS[0].text)]
    assert [t.prompt.id for t in demonstration_tasks(again)] == ["0", "1", "2"]
    assert len(demonstration_tasks(again, 2)) == 2


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "gold.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_was_answered_beforehand(tmp_path: Path) -> None:
    tasks = rank_tasks(POOL)
    path = written(
        tmp_path,
        {"prompt_id": "3", "ranks": [1, 2, 2], "use": "gold"},
        {"prompt": "q", "responses": ["x", "y"], "ranks": [2, 1], "use": "screening"},
        {"prompt": "q", "responses": ["x", "y"], "flags": [["rude"], []], "use": "gold"},
    )
    prepared = read_prepared(path, "rank", tasks)
    first, second = prepared.gold
    assert (first.prompt, first.responses) == (tasks[3].prompt, tasks[3].responses)
    assert (first.origin, first.expected) == ("gold", Answer(ranks=(1, 2, 2)))
    assert first.id != tasks[3].id  # the same question may also be asked as a normal task
    assert second.expected == Answer(flags=(("rude",), ()))
    (tried,) = prepared.screening
    assert (tried.origin, tried.expected) == ("screening", Answer(ranks=(2, 1)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"use": "golden"}, r":1: use: is 'golden'.*Did you mean 'gold'\?"),
        ({"rank": []}, r":1: rank: is no field.*Did you mean 'ranks'\?"),
        ({"ranks": [1]}, ":1: ranks: must be 2 whole numbers from 1 to 2"),
        ({"ranks": [0, 1]}, ":1: ranks: must be 2 whole numbers"),
        ({"ranks": None}, ":1: ranks: is missing"),
        ({"responses": ["x", "x"]}, ":1: responses: at least two different"),
        ({"prompt": 3}, ":1: prompt: must be a text"),
        ({"prompt_id": "3"}, ":1: prompt_id: must be the id of a prompt of this round, alone"),
        ({"flags": ["rude"]}, ":1: flags: must be 2 lists of names"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    good = {"prompt": "q", "responses": ["x", "y"], "ranks": [2, 1], "use": "gold"}
    with pytest.raises(UserError, match=message):
        read_prepared(written(tmp_path, {**good, **row}), "rank", rank_tasks(POOL))


def test_the_same_task_twice_and_no_json_are_named(tmp_path: Path) -> None:
    row = {"prompt": "q", "responses": ["x", "y"], "ranks": [2, 1], "use": "gold"}
    with pytest.raises(UserError, match=r":2: the same task is in line .*:1 already"):
        read_prepared(written(tmp_path, row, row), "rank", [])
    path = tmp_path / "gold.jsonl"
    path.write_text("{}\n{")
    with pytest.raises(UserError, match=":2: is no JSON"):
        read_prepared(path, "rank", [])
