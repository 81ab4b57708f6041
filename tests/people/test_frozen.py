"""Frozen rounds: what is in them, in which order, and that a changed byte is noticed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from people.rounds_in_files import PEOPLE, snapshot, task
from preflab import StorageError
from preflab.records import Message, Prompt, RecordType, ranking_from_json
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource
from preflab_people import frozen
from preflab_people.agreeing import agreement_of
from preflab_people.frozen import freeze, read_frozen
from preflab_people.judgments import Answer
from preflab_people.store import Snapshot

FIRST, SECOND = task("one", "a", "b", "c", want=2), task("two", "a", "b", "a")
GOLD, RETEST = task("gold", "x", "y", origin="gold"), task("one", "a", "b", "c", origin="retest")
RANKS = Answer(ranks=(2, 1, 2))
SAID = (
    (SECOND, "b", Answer(ranks=(1, 2, 1), written="better .")),
    (FIRST, "b", Answer(ranks=(1, 1, 1))),
    (FIRST, "a", RANKS),
    (GOLD, "a", Answer(ranks=(1, 2))),
    (RETEST, "a", Answer(ranks=(3, 2, 1))),
    (FIRST, "c", Answer(ranks=(1, 2, 3))),
    (FIRST, "d", Answer(ranks=(3, 1, 2))),
    (SECOND, "a", Answer(skipped="unclear")),
)


@pytest.fixture
def given() -> Snapshot:
    return snapshot([FIRST, SECOND, GOLD, RETEST], SAID)


def rows(folder: Path, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_only_normal_tasks_of_training_people_become_records(
    tmp_path: Path, given: Snapshot
) -> None:
    """labeler-c is held out, labeler-d was removed, gold and the retest are no normal tasks."""
    round_ = freeze(tmp_path, given, {})
    rankings = [ranking_from_json(row) for row in rows(round_.folder, "rankings.jsonl")]
    # labeler-b ties all three responses of the first task, which says nothing.
    assert [(r.prompt.id, r.labeler, r.group, r.preferences) for r in rankings] == [
        ("one", "labeler-a", "north", ((1, 0), (1, 2))),
        ("two", "labeler-b", "south", ((0, 1), (2, 1))),
    ]
    assert round_.manifest["rankings"] == 2
    assert round_.manifest["rankings without a preference"] == 1
    (written,) = rows(round_.folder, "demonstrations.jsonl")
    assert written == {
        "prompt": "say two .",
        "completion": "better .",
        **{"id": "two", "user": "u1", "tags": ["t"], "split": "train"},
        **{"labeler": "labeler-b", "labeler_group": "south"},
    }
    assert round_.manifest["removed"] == ["labeler-d"]


def test_counts_add_up(tmp_path: Path, given: Snapshot) -> None:
    """Two judgments of the first task by people who stayed, and one of a held-out person, which
    comes on top; one of the second, which one person skipped. No request is open. What labeler-d
    said before they were removed is counted apart."""
    counts = freeze(tmp_path, given, {}).manifest["counts"]
    assert counts == {
        **{"tasks": 2, "asked": 5, "submitted": 4, "skipped": 1, "open": 0},
        **{"held_out": 1, "removed": 1},
    }
    nobody = replace(given, judgments=())
    assert freeze(tmp_path, nobody, {}).manifest["counts"]["open"] == 2 + 1


def test_everything_is_read_back(tmp_path: Path, given: Snapshot) -> None:
    round_ = read_frozen(freeze(tmp_path, given, {"both take a side": 1.0}).folder)
    assert (round_.name, round_.kind, round_.pool) == ("round-1", "rank", "ab" * 32)
    assert round_.tasks == given.tasks
    assert round_.people == PEOPLE
    assert set(round_.judgments) == set(given.judgments)
    order = [(t.prompt.id, t.origin, j.labeler[-1]) for t, j, _ in round_.judged]
    assert order == [
        *(("one", "normal", letter) for letter in "abcd"),
        *(("two", "normal", letter) for letter in "ab"),
        *(("gold", "gold", "a"), ("one", "retest", "a")),
    ]
    labels = rows(round_.folder, "labels.jsonl")
    assert [row["held_out"] for row in labels[:4]] == [False, False, True, False]
    assert json.loads((round_.folder / "agreement.json").read_text()) == {"both take a side": 1.0}


def test_the_order_of_judgments_changes_nothing(tmp_path: Path, given: Snapshot) -> None:
    turned = replace(given, judgments=given.judgments[::-1], people=given.people[::-1])
    assert freeze(tmp_path, turned, {}).digest == freeze(tmp_path, given, {}).digest
    assert [path.name[:7] for path in tmp_path.iterdir()] == ["frozen-"]  # one, nothing else


def test_the_order_of_judgments_changes_no_number() -> None:
    """Numbers are part of the digest, and sums depend on the order in their last digits: here the
    interval of the position's share does, if the judgments are not put in order first."""
    chance = random.Random(1)
    tasks = [task(str(n), "a", "b", "c", "d", want=2) for n in range(12)]
    said = [
        (one, who, Answer(ranks=tuple(chance.randint(1, 3) for _ in range(4))))
        for one in tasks
        for who in "ab"[: chance.randint(1, 2)]
    ]
    given = snapshot(tasks, said)
    judgments = [replace(j, order=tuple(chance.sample(range(4), 4))) for j in given.judgments]
    many = replace(given, judgments=tuple(judgments))
    for _ in range(5):
        mixed = tuple(chance.sample(judgments, len(judgments)))
        assert agreement_of(replace(many, judgments=mixed)) == agreement_of(many)


def test_another_judgment_is_another_round(tmp_path: Path, given: Snapshot) -> None:
    first = freeze(tmp_path, given, {})
    other = freeze(tmp_path, replace(given, judgments=given.judgments[1:]), {})
    assert other.digest != first.digest
    assert first.folder.is_dir()  # the first one is kept
    assert other.folder.name == f"frozen-{other.digest[:12]}"


@pytest.mark.parametrize("name", ["labels.jsonl", "tasks.jsonl", "labelers.json", "manifest.json"])
def test_a_changed_byte_is_named(tmp_path: Path, given: Snapshot, name: str) -> None:
    path = freeze(tmp_path, given, {}).folder / name
    path.write_bytes(path.read_bytes().replace(b"labeler-a", b"labeler-b").replace(b"1", b"2"))
    with pytest.raises(StorageError, match=name):
        read_frozen(path.parent)


def test_a_missing_file_is_named(tmp_path: Path, given: Snapshot) -> None:
    folder = freeze(tmp_path, given, {}).folder
    (folder / "events.jsonl").unlink()
    with pytest.raises(StorageError, match=r"events\.jsonl is missing"):
        read_frozen(folder)


def test_a_kill_leaves_no_half_round(
    tmp_path: Path, given: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written last before the name is given."""

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    for step in ("write_sealed", "sync_below", "publish"):
        with monkeypatch.context() as patched:
            patched.setattr(frozen, step, killed)
            with pytest.raises(KeyboardInterrupt):
                freeze(tmp_path, given, {})
        assert list(tmp_path.glob("frozen-*")) == []
    assert freeze(tmp_path, given, {}).folder.is_dir()


def test_both_kinds_of_records_are_read_as_files(tmp_path: Path) -> None:
    """An empty response is one that a policy gave, and a conversation stays one."""
    turns = (Message("user", "Name a fruit."), Message("assistant", "No."), Message("user", "Why?"))
    chat = Prompt("chat", "user: Name a fruit. ...", messages=turns, split="train", group="g7")
    ranked = replace(task("one", "a", "", "a b"), prompt=chat)
    given = snapshot([ranked], [(ranked, "b", Answer(ranks=(1, 3, 2), written="Because."))])
    folder = freeze(tmp_path, given, {}).folder
    (ranking,) = read_files(folder / "rankings.jsonl", "rankings")
    assert ranking.responses == ("a", "", "a b")
    assert ranking.preferences == ((0, 1), (0, 2), (2, 1))
    assert (ranking.labeler, ranking.group) == ("labeler-b", "south")
    (demonstration,) = read_files(folder / "demonstrations.jsonl", "demonstrations")
    assert demonstration.response == "Because."
    for prompt in (ranking.prompt, demonstration.prompt):
        assert (prompt.id, prompt.messages, prompt.split) == ("chat", turns, "train")
        assert prompt.group == "g7"


def read_files(path: Path, record_type: RecordType) -> list[Any]:
    config = FilesConfig(record=RecordKind(record_type), path=str(path))
    return list(FileSource(config).records(record_type))
