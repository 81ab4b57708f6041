"""Records of Argilla: as others have them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Message, Prompt
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource
from preflab_people.exchange.argilla import RECORDS, SETTINGS, user_id
from preflab_people.exchange.formats import export, read
from preflab_people.exchange.labels import Imported, Labels
from preflab_people.judgments import Answer, Judgment, Person, Task

from .rounds import PEOPLE, by_hand

_FIELDS = {"prompt": "Say hi.", "response-1": "No.", "response-2": "Hi!"}


def _read(tmp_path: Path, *records: Any) -> Imported:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read("argilla", path, b"secret")


def _record(**responses: Any) -> dict[str, Any]:
    return {"id": "r1", "fields": _FIELDS, "metadata": {}, "responses": responses}


def test_a_foreign_record(tmp_path: Path) -> None:
    """Three people: one ranked with a tie, one has a draft, one discarded it."""
    tie = [{"rank": 1, "value": "response-1"}, {"rank": 1, "value": "response-2"}]
    found = _read(
        tmp_path,
        _record(
            order=[
                {"value": tie, "user_id": "jane@mail.org", "status": "submitted"},
                {"value": tie, "user_id": "u2", "status": "draft"},
                {"value": None, "user_id": "u3", "status": "discarded"},
            ],
            quality=[{"value": 5, "user_id": "jane@mail.org", "status": "submitted"}],
        ),
    )
    (task,) = found.labels.tasks
    assert (task.id, task.kind, task.responses) == ("r1", "rank", ("No.", "Hi!"))
    assert task.prompt.messages == (Message("user", "Say hi."),)
    assert [j.answer for j in found.labels.judgments] == [
        Answer(ranks=(1, 1)),
        Answer(skipped="discarded"),
    ]
    jane = found.labels.judgments[0].labeler
    assert found.names[jane] == "jane@mail.org"
    assert "jane" not in jane
    assert [p.id for p in found.labels.people] == [j.labeler for j in found.labels.judgments]


def test_flat_and_first_version(tmp_path: Path) -> None:
    flat = {
        **{"id": "r1", "_server_id": "s", **_FIELDS},
        "order.responses": [["response-2", "response-1"], ["response-1", "response-2"]],
        "order.responses.users": ["u1", "u2"],
        "order.responses.status": ["submitted", "draft"],
    }
    old = {
        **{"external_id": "r2", "metadata": '{"group": "g"}', **_FIELDS},
        "order": [{"user_id": "u1", "value": [{"rank": 1, "value": "response-2"}]}],
    }
    found = _read(tmp_path, flat, old)
    assert [j.answer.ranks for j in found.labels.judgments] == [(2, 1), (None, 1)]
    assert [t.prompt.group for t in found.labels.tasks] == ["", "g"]
    assert any("1 rankings have no ranks" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "record, expected",
    [
        (
            _record(order=[{"value": [{"rank": 1, "value": "x"}], "user_id": "u"}]),
            r"order\[0\]: 'x' is none of the answers: response-1, response-2",
        ),
        (
            _record(
                order=[{"value": ["response-1", "response-2"], "user_id": "u"}],
                taste=[{"value": ["response-2", "response-1"], "user_id": "u"}],
            ),
            "responses: order and taste both order the answers: leave one of them out",
        ),
        (_record(likert_1=[{"value": 9, "user_id": "u"}]), "likert: holds 9. Allowed: 1 to 7"),
        (_record(likert_1=[{"value": 1.5, "user_id": "u"}]), "likert_1: is 1.5. Allowed: 1 to 7"),
        ({"id": "r", "fields": {"words": "x"}, "responses": {}}, "words: none is a question"),
        (
            {**_record(), "metadata": {"kind": "song"}},
            "kind: is 'song'. Allowed: rank, demonstrate",
        ),
    ],
)
def test_a_bad_record_is_refused_by_line(tmp_path: Path, record: Any, expected: str) -> None:
    with pytest.raises(UserError, match=rf"records.jsonl:2: .*{expected}"):
        _read(tmp_path, {**_record(), "id": "r0"}, record)


def test_one_id_for_two_questions_is_refused(tmp_path: Path) -> None:
    other = {**_record(), "fields": {**_FIELDS, "prompt": "Say no."}}
    with pytest.raises(UserError, match=r"jsonl:2: id: 'r1' is the id of another task above"):
        _read(tmp_path, _record(), other)


def test_two_judgments_of_one_person_are_refused(tmp_path: Path) -> None:
    record = _record(order=[{"value": "response-1", "user_id": "u"}])
    with pytest.raises(UserError, match="a second judgment of one task by one person"):
        _read(tmp_path, record, record)


def test_training_reads_the_same_pairs(tmp_path: Path) -> None:
    """``data=files`` on our export: whole rankings of one person each."""
    labels = by_hand()
    whole = Labels(labels.tasks[:1], labels.judgments[:1], labels.people)
    export("argilla", whole, tmp_path)
    config = FilesConfig(record=RecordKind.rankings, path=str(tmp_path / RECORDS), format="argilla")
    (ranking,) = FileSource(config).records("rankings")
    assert ranking.preferences == ((0, 2), (1, 2))  # type: ignore[union-attr]
    assert ranking.labeler == user_id(PEOPLE[0])  # type: ignore[union-attr]


def test_settings_name_every_field_and_question_of_the_records(tmp_path: Path) -> None:
    export("argilla", by_hand(), tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    records = json.loads((tmp_path / RECORDS).read_text())
    named = {one["name"] for one in settings["fields"]}
    questions = {one["name"]: one["settings"] for one in settings["questions"]}
    for record in records:
        assert record["fields"].keys() <= named
        assert record["responses"].keys() <= questions.keys()
    flags = {one["value"] for one in questions["flags_1"]["options"]}
    assert flags == {"hallucination", "拒否", "none of these"}


def test_texts_and_conversations_do_not_mix(tmp_path: Path) -> None:
    talk = Prompt("p", "?", messages=(Message("user", "?"),))
    tasks = (Task("a", "demonstrate", Prompt("p", "?")), Task("b", "demonstrate", talk))
    for name in ("argilla", "label-studio"):
        with pytest.raises(UserError, match="Export the round as preflab, which holds both"):
            export(name, Labels(tasks, (), ()), tmp_path)


def test_a_flag_that_means_no_flag_is_refused(tmp_path: Path) -> None:
    task = Task("a", "rank", Prompt("p", "?"), ("x", "y"))
    said = Judgment("a", "labeler-aaaa", Answer(flags=(("none of these",), ())))
    for name in ("argilla", "label-studio"):
        with pytest.raises(UserError, match="means that none was set"):
            export(name, Labels((task,), (said,), (Person("labeler-aaaa"),)), tmp_path)


_BESIDE = {"split": "test", "tags": ["a"], "group": "g", "labeler_group": " nurses"}


@pytest.mark.parametrize("place", ["beside", "metadata", "written", "flat"])
def test_what_stands_beside_the_answers_is_taken_or_told(tmp_path: Path, place: str) -> None:
    """Of a record, its metadata (which Argilla 1 writes as a text), or a flat record."""
    given = {**_BESIDE, "source": "web"}
    record = _record(order=[{"value": ["response-2", "response-1"], "user_id": "u"}])
    if place == "flat":
        flat = {"order.responses": [["response-2", "response-1"]], "order.responses.users": ["u"]}
        record = {"id": "r1", **_FIELDS, **flat, **given}
    elif place == "beside":
        record |= given
    else:
        record["metadata"] = json.dumps(given) if place == "written" else given
    found = _read(tmp_path, record)
    (task,), (person,) = found.labels.tasks, found.labels.people
    assert (task.prompt.split, task.prompt.tags, task.prompt.group) == ("test", ("a",), "g")
    assert person.group == "nurses"
    name = "source" if place in ("beside", "flat") else "metadata.source"
    assert found.remarks[-1] == f"Not read: {name} (in 1 rows)."


def test_questions_and_fields_that_a_judgment_does_not_hold_are_told(tmp_path: Path) -> None:
    record = _record(
        order=[{"value": ["response-2", "response-1"], "user_id": "u"}],
        quality=[{"value": 5, "user_id": "u"}],
        likert_3=[{"value": 5, "user_id": "u"}],
    )
    found = _read(tmp_path, {**record, "fields": {**_FIELDS, "context": "Be rude."}})
    told = "Not read: context (in 1 rows), responses.likert_3 (in 1 rows), responses.quality (in 1"
    assert found.remarks[-1].startswith(told)
    assert found.labels.judgments[0].answer == Answer(ranks=(2, 1))


def test_a_person_of_two_groups_is_refused_and_nobody_in_particular_is_one_of_each(
    tmp_path: Path,
) -> None:
    def record(name: str, group: str, **who: str) -> dict[str, Any]:
        said = {"value": "response-1", **who, "status": "submitted"}
        return {**_record(order=[said]), "id": name, "labeler_group": group}

    with pytest.raises(UserError, match=r"jsonl:2: labeler_group: is 'b', but 'a' for one person"):
        _read(tmp_path, record("r1", "a", user_id="u"), record("r2", "b", user_id="u"))
    found = _read(tmp_path, record("r1", "a"), record("r2", "b"), record("r3", "b"))
    assert [person.group for person in found.labels.people] == ["a", "b"]


def test_two_written_answers_of_one_person_are_refused(tmp_path: Path) -> None:
    """Of which one was lost before."""
    said = [{"value": "Hi.", "user_id": "u"}]
    with pytest.raises(UserError, match="answer and completion both hold a written answer"):
        _read(tmp_path, _record(completion=said, answer=said))
