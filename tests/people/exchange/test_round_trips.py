"""What people said goes to another tool's files and comes back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from preflab.records import RANKINGS_FILE
from preflab_people.exchange import argilla, label_studio
from preflab_people.exchange.formats import export, read
from preflab_people.exchange.labels import Imported, Labels
from preflab_people.judgments import Answer, Judgment

from .rounds import PEOPLE, by_hand, rounds

FILES = {"preflab": "", "argilla": argilla.RECORDS, "label-studio": label_studio.TASKS}


def _there_and_back(name: str, labels: Labels, folder: Path) -> Imported:
    export(name, labels, folder)
    return read(name, folder / FILES[name])


def _said(labels: Labels) -> dict[tuple[str, str], Answer]:
    return {(one.task, one.labeler): one.answer for one in labels.judgments}


@pytest.mark.parametrize("name", FILES)
def test_by_hand(name: str, tmp_path: Path) -> None:
    labels = by_hand()
    back = _there_and_back(name, labels, tmp_path)
    assert back.labels.tasks == labels.tasks
    assert _said(back.labels) == _said(labels)
    assert {person.id for person in back.labels.people} == set(PEOPLE)
    assert (back.remarks, back.names) == ((), {})


@pytest.mark.parametrize("name", FILES)
@given(rounds())
def test_any_round(name: str, labels: Labels) -> None:
    with TemporaryDirectory() as folder:
        back = _there_and_back(name, labels, Path(folder))
    assert back.labels.tasks == labels.tasks
    assert _said(back.labels) == _said(labels)


def test_what_only_preflabs_own_files_hold(tmp_path: Path) -> None:
    labels = by_hand()
    full = Judgment(
        "t2", PEOPLE[1], Answer(ranks=(2, 1)), 12.5, (1, 0), 3, "2026-01-01T00:00:00Z", 7
    )
    with_all = Labels(labels.tasks, (*labels.judgments, full), labels.people)
    back = _there_and_back("preflab", with_all, tmp_path)
    assert set(back.labels.judgments) == set(with_all.judgments)
    assert back.labels.people == labels.people


def test_label_studio_keeps_time_and_date(tmp_path: Path) -> None:
    labels = by_hand()
    timed = Judgment("t2", PEOPLE[1], Answer(ranks=(2, 1)), 12.5, at="2026-01-01T00:00:00Z")
    back = _there_and_back("label-studio", Labels(labels.tasks, (timed,), labels.people), tmp_path)
    assert back.labels.judgments == (timed,)


def test_argillas_sdk_loses_ties_and_a_remark_says_so(tmp_path: Path) -> None:
    """As the SDK writes what it read from the server: without ranks, and without statuses."""
    export("argilla", by_hand(), tmp_path)
    path = tmp_path / argilla.RECORDS
    records = json.loads(path.read_text())
    for record in records:
        for question, given_ in record["responses"].items():
            for one in given_:
                del one["status"]
                if question == "ranking":
                    one["value"] = [item["value"] for item in one["value"]]
        # A response that was not judged has no place in a strict order: such rankings are others'.
        record["responses"]["ranking"] = [
            one
            for one in record["responses"].get("ranking", [])
            if len(one["value"]) == len(record["fields"]) - 1
        ]
    path.write_text(json.dumps(records))
    back = read("argilla", path)
    said = _said(back.labels)
    assert said[("t1", PEOPLE[0])].ranks == (1, 2, 3)  # it was 1 1 2
    assert said[("t2", PEOPLE[0])].ranks == (1, 2)  # it was a tie
    assert said[("t1", PEOPLE[2])] == Answer(skipped="not my language")
    strict, status = back.remarks
    if "handed in" in strict:
        strict, status = status, strict
    assert strict.startswith("2 rankings have no ranks")
    assert "ties are lost" in strict
    assert status.startswith("3 records do not say who handed in")


@pytest.mark.parametrize("name", FILES)
def test_the_folder_of_an_export_is_read_as_well(name: str, tmp_path: Path) -> None:
    export(name, by_hand(), tmp_path)
    assert _said(read(name, tmp_path).labels) == _said(by_hand())


def test_rankings_alone_keep_ratings_and_groups(tmp_path: Path) -> None:
    """A rankings.jsonl without labels.jsonl; a rating that no person can give is told."""
    labels = by_hand()
    rated = Judgment("t2", PEOPLE[1], Answer(ranks=(2, 1), likert=(3, 6)))
    people = tuple(replace(person, group="nurses") for person in labels.people)
    export("preflab", Labels(labels.tasks, (rated,), people), tmp_path)
    back = read("preflab", tmp_path / RANKINGS_FILE)
    assert [j.answer for j in back.labels.judgments] == [rated.answer]
    assert [person.group for person in back.labels.people] == ["nurses"]
    row = json.loads((tmp_path / RANKINGS_FILE).read_text())
    path = tmp_path / "scored.jsonl"
    path.write_text(json.dumps({**row, "ratings": [0.25, 6.0]}) + "\n")
    back = read("preflab", path)
    assert back.labels.judgments[0].answer == Answer(ranks=(2, 1))
    assert back.remarks == ("Not read: ratings (in 1 rows).",)
