"""People as labelers: what a round says is looked up, and nothing else is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from people.rounds_in_files import closed_round, snapshot, task
from preflab import UserError
from preflab.records import Prompt
from preflab_people.config import PeopleConfig
from preflab_people.judgments import Answer
from preflab_people.labeler import People, inspect
from support import FakeContext

FIRST, SECOND, SKIPPED = (
    task("one", "a", "b", "c", want=2),
    task("two", "a", "b"),
    task("3", "x", "y"),
)
GOLD = task("two", "a", "b", origin="gold")
SAID = (
    (FIRST, "b", Answer(ranks=(1, 1, 2))),
    (FIRST, "a", Answer(ranks=(2, 1, 3))),
    (FIRST, "c", Answer(ranks=(3, 2, 1))),
    (FIRST, "d", Answer(ranks=(3, 2, 1))),
    (SECOND, "a", Answer(ranks=(1, 2))),
    (GOLD, "b", Answer(ranks=(2, 1))),
    (SKIPPED, "a", Answer(skipped="unclear")),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeopleConfig:
    monkeypatch.chdir(tmp_path)
    closed_round(tmp_path, snapshot([FIRST, SECOND, GOLD, SKIPPED], SAID))
    return PeopleConfig()


@pytest.fixture
def people(config: PeopleConfig, tmp_path: Path) -> People:
    return People(config, FakeContext(tmp_path))


def test_a_ranking_of_each_person_in_canonical_order(people: People) -> None:
    rankings = people.rank(FIRST.prompt, FIRST.responses, (1,))
    assert [(r.labeler, r.group, r.preferences) for r in rankings] == [
        ("labeler-a", "north", ((0, 2), (1, 0), (1, 2))),
        ("labeler-b", "south", ((0, 2), (1, 2))),  # the first two are tied
    ]
    assert all(r.prompt is FIRST.prompt for r in rankings)
    # The gold item of the same prompt, which labeler-b answered, is none.
    (only,) = people.rank(SECOND.prompt, SECOND.responses, (1,))
    assert (only.labeler, only.preferences) == ("labeler-a", ((0, 1),))


def test_nobody_said_anything_of_a_skipped_prompt(people: People) -> None:
    assert people.rank(SKIPPED.prompt, SKIPPED.responses, (1,)) == []


def test_equal_texts_are_asked_of_nobody(people: People) -> None:
    assert people.rank(Prompt("new", "say new ."), ("a", "a"), (1,)) == []


@pytest.mark.parametrize(
    ("prompt", "responses", "why"),
    [
        (Prompt("one", "say one ."), ("a", "b", "d"), "this run's samples differ"),
        (Prompt("one", "say one ."), ("b", "a", "c"), "this run's samples differ"),
        (Prompt("9", "say 9 ."), ("a", "b"), "other prompts than this"),
    ],
)
def test_another_pool_is_refused_by_name(
    people: People, prompt: Prompt, responses: tuple[str, ...], why: str
) -> None:
    with pytest.raises(UserError, match=f"'round-1' was not asked.*{why}.*abababababab.*NAME"):
        people.rank(prompt, responses, (1,))


def test_preferences_are_shares_of_stored_verdicts(people: People) -> None:
    # labeler-a: b before a; labeler-b: tied. labeler-c is held out, labeler-d was removed.
    assert people.preference(FIRST.prompt, "a", "b") == (0 + 0.5) / 2
    assert people.preference(FIRST.prompt, "b", "a") == (1 + 0.5) / 2
    assert people.preference(FIRST.prompt, "a", "b", "held_out") == 0.0
    assert people.preference(FIRST.prompt, "a", "c", "south") == 1.0
    assert people.preference(FIRST.prompt, "a", "a") == 0.5
    with pytest.raises(UserError, match=r"'round-1', its people did not compare"):
        people.preference(FIRST.prompt, "a", "z")
    with pytest.raises(UserError, match=r"no people in the group 'sout'.*'south'"):
        people.preference(FIRST.prompt, "a", "b", "sout")


def test_inspect_names_the_content_of_the_round(config: PeopleConfig, tmp_path: Path) -> None:
    seen = inspect(config)
    assert (len(seen.content), seen.waiting) == (64, "")
    assert "--likert" in seen.unrated  # nobody rated
    (notice,) = seen.notices
    digest = seen.content[:12]
    assert re.search(rf"gave \d rankings in the round round-1 \(digest {digest}\): \d p", notice)
    other = closed_round(tmp_path, snapshot([FIRST, SECOND, GOLD, SKIPPED], SAID[1:]))
    assert inspect(config).content == other.digest != seen.content
    # The first one is still there, by its path.
    folder = f"labels/round-1/frozen-{seen.content[:12]}"
    assert inspect(PeopleConfig(round=folder)).content == seen.content


def test_a_round_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    seen = inspect(PeopleConfig(round=f"{tmp_path}/mine"))
    assert (seen.content, seen.waiting) == (
        "",
        "nobody was asked yet: preflab label {run}",
    )


def test_a_round_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    closed_round(tmp_path, snapshot([task("one", kind="demonstrate")], [], kind="demonstrate"))
    with pytest.raises(UserError, match=r"asked to demonstrate.*they rank"):
        inspect(PeopleConfig())
