"""Tasks of Label Studio: as others have them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from preflab import UserError
from preflab.records import Message, Prompt
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource
from preflab_people.exchange.formats import export, read
from preflab_people.exchange.label_studio import LAYOUT, TASKS
from preflab_people.exchange.labels import Imported, Labels
from preflab_people.judgments import Answer, Judgment, Person, Task

from .rounds import PEOPLE, by_hand

_DATA: dict[str, Any] = {
    "prompt": "Say hi.",
    "items": [{"id": "x", "body": "No."}, {"id": "y", "body": "Hi!"}],
}


def _read(tmp_path: Path, *tasks: Any) -> Imported:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return read("label-studio", path, b"secret")


def _result(control: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": control, "to_name": "items", "type": kind, "value": value}


def _rank(*buckets: tuple[str, list[str]]) -> dict[str, Any]:
    return _result("rank", "ranker", ranker=dict(buckets))


def _task(*annotations: dict[str, Any], data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"id": 5, "data": data or _DATA, "annotations": list(annotations), "predictions": []}


def test_a_foreign_task(tmp_path: Path) -> None:
    """Four people: an order, a tie by a bucket, a cancelled one, and one with a comment alone."""
    found = _read(
        tmp_path,
        _task(
            {
                "completed_by": {"id": 1, "email": "jane@mail.org"},
                "result": [_rank(("rank", ["y", "x"]))],
                "lead_time": 31.5,
                "created_at": "2026-01-01T00:00:00Z",
            },
            {"completed_by": 2, "result": [_rank(("rank_1", ["x", "y"]), ("rank_2", []))]},
            {"completed_by": 3, "result": [], "was_cancelled": True},
            {"completed_by": 4, "result": [_result("comment", "textarea", text=["hm"])]},
        ),
    )
    (task,) = found.labels.tasks
    assert (task.id, task.kind, task.responses) == ("5", "rank", ("No.", "Hi!"))
    assert task.prompt.messages == (Message("user", "Say hi."),)
    jane, two, three = found.labels.judgments
    assert (jane.answer.ranks, jane.seconds, jane.at) == ((2, 1), 31.5, "2026-01-01T00:00:00Z")
    assert two.answer.ranks == (1, 1)
    assert three.answer == Answer(skipped="discarded")
    assert found.names[jane.labeler] == "jane@mail.org"
    assert "jane" not in jane.labeler
    assert len(found.labels.people) == 3


def test_pairs_sides_and_named_choices(tmp_path: Path) -> None:
    data = {"prompt": "Say hi.", "answer1": "No.", "answer2": "Hi!"}
    found = _read(
        tmp_path,
        _task(
            {"completed_by": 1, "result": [_result("p", "pairwise", selected="right")]},
            {"completed_by": 2, "result": [_result("c", "choices", choices=["Answer 1"])]},
            {"completed_by": 3, "result": [_result("p", "pairwise")]},
            data=data,
        ),
    )
    assert [j.answer.ranks for j in found.labels.judgments] == [(2, 1), (1, 2), (1, 1)]


def test_the_ground_truth_makes_a_task_gold(tmp_path: Path) -> None:
    truth = {"completed_by": 9, "ground_truth": True, "result": [_rank(("rank", ["y", "x"]))]}
    said = {"completed_by": 1, "result": [_rank(("rank", ["x", "y"]))]}
    found = _read(tmp_path, _task(truth, said))
    (task,) = found.labels.tasks
    assert (task.origin, task.expected) == ("gold", Answer(ranks=(2, 1)))
    assert [j.answer.ranks for j in found.labels.judgments] == [(1, 2)]


def test_buckets_without_numbers_are_remarked(tmp_path: Path) -> None:
    said = {"completed_by": 1, "result": [_rank(("good", ["y"]), ("bad", ["x"]))]}
    found = _read(tmp_path, _task(said))
    assert found.labels.judgments[0].answer.ranks == (2, 1)
    assert found.remarks[0].startswith("1 rankings have buckets without numbers")


@pytest.mark.parametrize(
    "task, expected",
    [
        (_task({"result": [_rank(("rank", ["x"]))]}), "ranker: must be lists with the id of every"),
        (
            _task({"result": [_rank(("rank", ["x", "y"])), _rank(("rank", ["y", "x"]))]}),
            r"annotations\[0\]: orders the answers twice",
        ),
        (
            _task({"result": [_result("likert_1", "rating", rating=8)]}),
            r"annotations\[0\].likert: holds 8. Allowed: 1 to 7",
        ),
        (
            _task(*[{"ground_truth": True, "result": []}] * 2),
            "annotations: several are the ground truth",
        ),
        ({"data": "x"}, "data: is a text but must be an object: export tasks as JSON"),
        ({"id": 1, "data": {"words": "x"}}, "words: none is a question"),
        ({**_task(), "annotations": [3]}, r"annotations\[0\]: is a number but must be an object"),
    ],
)
def test_a_bad_task_is_refused_by_line(tmp_path: Path, task: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"tasks.jsonl:2: .*{expected}"):
        _read(tmp_path, {**_task(), "id": 0}, task)


def test_training_reads_the_same_pairs(tmp_path: Path) -> None:
    labels = by_hand()
    export("label-studio", Labels(labels.tasks[:1], labels.judgments[:2], labels.people), tmp_path)
    config = FilesConfig(record=RecordKind.rankings, path=str(tmp_path / TASKS))
    found = FileSource(config).records("rankings")
    assert [r.preferences for r in found] == [((0, 2), (1, 2)), ((2, 0),)]  # type: ignore[union-attr]


def test_the_layout_holds_every_control_and_every_choice(tmp_path: Path) -> None:
    """Also where a name has a quote and a bracket in it."""
    labels = by_hand()
    odd = Judgment("t2", PEOPLE[2], Answer(skipped='"so" <b>&'))
    export("label-studio", Labels(labels.tasks, (*labels.judgments, odd), labels.people), tmp_path)
    page = ElementTree.parse(tmp_path / LAYOUT)
    controls = {node.get("name"): node for node in page.iter() if node.get("name")}
    for task in json.loads((tmp_path / TASKS).read_text()):
        for annotation in task["annotations"]:
            for result in annotation["result"]:
                control = controls[result["from_name"]]
                assert result["to_name"] in controls
                choices = {node.get("value") for node in control.iter("Choice")}
                assert set(result["value"].get("choices", ())) <= choices
                buckets = {node.get("name") for node in control.iter("Bucket")}
                assert set(result["value"].get("ranker", ())) <= buckets | {"_"}


def test_conversations_are_shown_as_such(tmp_path: Path) -> None:
    prompt = Prompt("p", "user: ?", messages=(Message("user", "?"),))
    task = Task("a", "demonstrate", prompt)
    export("label-studio", Labels((task,), (), (Person("labeler-aaaa"),)), tmp_path)
    assert "<Paragraphs" in (tmp_path / LAYOUT).read_text()
    (row,) = json.loads((tmp_path / TASKS).read_text())
    assert row["data"]["prompt"] == [{"role": "user", "content": "?"}]
    assert read("label-studio", tmp_path / TASKS).labels.tasks == (task,)


def test_what_stands_beside_the_answers_is_taken_or_told(tmp_path: Path) -> None:
    """In the data, in their metadata, and what a page asked that no judgment holds."""
    said: dict[str, Any] = {"completed_by": 1}
    said["result"] = [_rank(("rank", ["y", "x"])), _result("q", "number")]
    said["result"][1]["value"] = {"number": 3}
    rated = _result("likert_3", "rating", rating=2)
    beside: dict[str, Any] = {"split": "test", "tags": ["a"], "group": "g"}
    beside["labeler_group"] = "nurses"
    other = {**_DATA, "prompt": "Say no.", "metadata": {**beside, "source": "web"}}
    found = _read(
        tmp_path,
        {**_task(said, data={**_DATA, **beside, "context": "Be rude."}), "id": 1},
        {**_task({**said, "result": [*said["result"], rated]}, data=other), "meta": {"n": 1}},
    )
    for task in found.labels.tasks:
        assert (task.prompt.split, task.prompt.tags, task.prompt.group) == ("test", ("a",), "g")
    assert [person.group for person in found.labels.people] == ["nurses"]
    told = "annotations[].likert_3 (in 1 rows), annotations[].q (in 2 rows), context (in 1 rows), "
    told += "meta (in 1 rows), metadata.source (in 1 rows)"
    assert found.remarks == (f"Not read: {told}.",)


def test_two_texts_are_two_notes_or_refused(tmp_path: Path) -> None:
    """Of which the last one counted alone before."""
    texts = [_result(name, "textarea", text=[name]) for name in ("completion", "note", "comment")]
    found = _read(tmp_path, _task({"completed_by": 1, "result": texts}))
    assert found.labels.judgments[0].answer == Answer(written="completion", notes="note\ncomment")
    texts.append(_result("why", "textarea", text=["Because."]))
    with pytest.raises(UserError, match="completion and why both hold a written answer"):
        _read(tmp_path, _task({"completed_by": 1, "result": texts}))
