"""Which formats there are, and preflab's and TRL's files."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.records import Demonstration, Message, Prompt, Ranking, to_json
from preflab_builtin.files.config import FilesConfig, RecordKind
from preflab_builtin.files.source import FileSource
from preflab_people.exchange import labels as labels_module
from preflab_people.exchange import preflab_files, trl
from preflab_people.exchange.formats import FORMATS, export, read
from preflab_people.exchange.labels import Labels
from preflab_people.judgments import Answer, Judgment, Person, Task

from .rounds import PEOPLE, by_hand


def _files(path: Path, record: str) -> list[Any]:
    config = FilesConfig(record=RecordKind(record), path=str(path))
    return list(FileSource(config).records(record))  # type: ignore[arg-type]


def test_training_reads_preflabs_own_files(tmp_path: Path) -> None:
    export("preflab", by_hand(), tmp_path)
    rankings: list[Ranking] = _files(tmp_path / "rankings.jsonl", "rankings")
    assert [(r.labeler, r.preferences) for r in rankings] == [
        (PEOPLE[1], ((2, 0),)),
        (PEOPLE[0], ((0, 2), (1, 2))),
    ]
    written: list[Demonstration] = _files(tmp_path / "demonstrations.jsonl", "demonstrations")
    assert [(d.prompt.id, d.response) for d in written] == [
        ("p1", "Eine Kiwi."),
        ("p3", "La la 🎵"),
    ]


def test_training_reads_trls_files(tmp_path: Path) -> None:
    """Person a2b4 prefers c to a; k3f9 prefers a and b to c: three pairs; the tie gives none."""
    export("trl", by_hand(), tmp_path, lossy=True)
    pairs: list[Ranking] = _files(tmp_path / trl.PREFERENCE, "rankings")
    assert [(r.labeler, r.responses) for r in pairs] == [
        (PEOPLE[1], ("Öl", "Apfel")),
        (PEOPLE[0], ("Apfel", "Öl")),
        (PEOPLE[0], ("Birne 梨", "Öl")),
    ]
    assert {r.prompt.text for r in pairs} == {"Nenne ein Obst: 🍎?"}
    written: list[Demonstration] = _files(tmp_path / trl.COMPLETION, "demonstrations")
    assert [d.response for d in written] == ["Eine Kiwi.", "La la 🎵"]


def test_trls_conversations_are_messages_on_both_sides(tmp_path: Path) -> None:
    prompt = Prompt("p", "x", messages=(Message("user", "Hi"),))
    task = Task("t", "rank", prompt, ("a", "b"))
    said = Judgment("t", "labeler-aaaa", Answer(ranks=(2, 1)))
    export("trl", Labels((task,), (said,), (Person("labeler-aaaa"),)), tmp_path, lossy=True)
    (row,) = map(json.loads, (tmp_path / trl.PREFERENCE).read_text().splitlines())
    assert row["prompt"] == [{"role": "user", "content": "Hi"}]
    assert row["chosen"] == [{"role": "assistant", "content": "b"}]
    assert not (tmp_path / trl.COMPLETION).exists()  # nobody wrote anything


def test_a_file_of_rankings_comes_back_with_ranks(tmp_path: Path) -> None:
    """1 1 2, and a response that was not judged; a tie of all says nothing and is not in it."""
    export("preflab", by_hand(), tmp_path)
    found = read("preflab", tmp_path / "rankings.jsonl")
    said = {j.labeler: j.answer for j in found.labels.judgments}
    assert said == {PEOPLE[0]: Answer(ranks=(1, 1, 2)), PEOPLE[1]: Answer(ranks=(2, None, 1))}
    assert found.remarks == ()


def test_votes_of_several_people_in_one_ranking_are_no_order(tmp_path: Path) -> None:
    path = tmp_path / "rankings.jsonl"
    ranking = Ranking(Prompt("p", "?"), ("a", "b"), ((0, 1), (1, 0)), "x")
    path.write_text(json.dumps(to_json(ranking)) + "\n")
    with pytest.raises(UserError, match=r"jsonl:1: preferences: are those of no order"):
        read("preflab", path)


@pytest.mark.parametrize(
    "change, expected",
    [
        (
            {"answer": {"ranks": [1]}},
            r"labels.jsonl:1: answer.ranks: has 1 entries for 3 responses",
        ),
        ({"answer": {"ranks": [0, 1, 2]}}, r"labels.jsonl:1: answer.ranks: holds 0. Allowed: 1, 2"),
        ({"answer": {}}, r"labels.jsonl:1: answer: says nothing"),
        ({"task": "other"}, r"labels.jsonl:1: task: 'other' is not in tasks.jsonl"),
        ({"answer": 3}, r"labels.jsonl:1: answer: is not one of preflab's"),
    ],
)
def test_a_changed_label_is_refused_by_line(tmp_path: Path, change: Any, expected: str) -> None:
    export("preflab", by_hand(), tmp_path)
    path = tmp_path / "labels.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **change}), *others]))
    with pytest.raises(UserError, match=expected):
        read("preflab", tmp_path)


def test_a_changed_task_is_refused_by_line(tmp_path: Path) -> None:
    export("preflab", by_hand(), tmp_path)
    path = tmp_path / "tasks.jsonl"
    rows = list(map(json.loads, path.read_text().splitlines()))
    for change, expected in (
        ({"kind": "sing"}, "kind: is 'sing'. Allowed: rank, demonstrate, compare"),
        ({"prompt": "x"}, "prompt: is a text but must be an object"),
        ({"responses": [3]}, r"responses\[0\]: is a number"),
        ({"arms": None}, "task: is not one of preflab's"),
    ):
        path.write_text(json.dumps({**rows[0], **change}) + "\n")
        with pytest.raises(UserError, match=rf"tasks.jsonl:1: {expected}"):
            read("preflab", tmp_path)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no tasks.jsonl in it. Allowed: the folder of"):
        read("preflab", tmp_path)
    with pytest.raises(UserError, match="there is no such file or folder"):
        read("argilla", tmp_path / "none.json")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    export("trl", by_hand(), tmp_path, lossy=True)
    before = (tmp_path / trl.PREFERENCE).read_bytes()
    with pytest.raises(UserError, match=r"is there already\. Give another folder with --out"):
        export("trl", by_hand(), tmp_path, lossy=True)
    assert (tmp_path / trl.PREFERENCE).read_bytes() == before
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_half_a_character_is_written_as_an_escape(tmp_path: Path) -> None:
    task = Task("t", "rank", Prompt("p", "?"), ("a\ud800", "b"))
    said = Judgment("t", "labeler-aaaa", Answer(ranks=(1, 2)))
    export("trl", Labels((task,), (said,), (Person("labeler-aaaa"),)), tmp_path, lossy=True)
    (line,) = (tmp_path / trl.PREFERENCE).read_text("utf8").splitlines()
    assert json.loads(line)["chosen"] == "a\ud800"


def test_a_format_is_named_with_what_it_can() -> None:
    nothing = Labels((), (), ())
    with pytest.raises(UserError, match=r"no format 'argila'\. Allowed: .* Did you mean 'argilla'"):
        export("argila", nothing, Path())
    with pytest.raises(UserError, match="trl is not imported: rankings=files and demonstrations"):
        read("trl", Path())
    with pytest.raises(UserError, match=r"fastchat is not exported: .* Allowed: argilla, "):
        export("fastchat", nothing, Path())
    assert all(one.write or one.read for one in FORMATS.values())


def test_examples() -> None:
    for module in (labels_module, preflab_files):
        assert doctest.testmod(module).failed == 0
