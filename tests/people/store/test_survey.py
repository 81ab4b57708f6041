"""Tests of the voluntary survey: nothing leads from an answer to its person without their word."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from people.server.sites import Site, a_site, three
from preflab_people.store import survey


def test_answers_stand_without_a_name_unless_the_person_agrees(tmp_path: Path) -> None:
    path = tmp_path / "survey.jsonl"
    with a_site(tmp_path, three(1), {"survey": path}) as site:
        for age, link in (("55-64", False), ("25-34", True)):
            labeler = site.login()["labeler"]
            sent = {"answers": {"age": age}, "link": link}
            assert site.post("survey", sent).status_code == 200
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"answers": {"age": ["25-34"]}, "labeler": labeler},
        {"answers": {"age": ["55-64"]}},
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_answers_again_with_their_name_has_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "survey.jsonl"
    for age in ("1", "2"):
        survey.keep(path, "labeler-a", {"answers": {"age": [age]}, "link": True})
    assert [json.loads(line)["answers"] for line in path.read_text().splitlines()] == [
        {"age": ["2"]}
    ]


def test_to_be_forgotten_takes_the_named_answer_away(tmp_path: Path) -> None:
    path = tmp_path / "survey.jsonl"
    for labeler, link in (("labeler-a", True), ("labeler-b", True), ("labeler-a", False)):
        survey.keep(path, labeler, {"answers": {}, "link": link})
    survey.forget(path, "labeler-a")
    assert "labeler-a" not in path.read_text()
    assert len(path.read_text().splitlines()) == 2


def test_the_order_of_lines_does_not_tell_who_came_when(tmp_path: Path) -> None:
    texts = []
    for ages in (["1", "2", "3"], ["3", "1", "2"]):
        path = tmp_path / "-".join(ages)
        for age in ages:
            survey.keep(path, "labeler-a", {"answers": {"age": [age]}, "link": False})
        texts.append(path.read_text())
    assert texts[0] == texts[1]


def test_a_round_without_a_survey_asks_and_takes_nothing(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        assert site.login()["has_survey"] is False
        assert _sent(site) == 404


def _sent(site: Site) -> int:
    return int(site.post("survey", {"answers": {}, "link": False}).status_code)
