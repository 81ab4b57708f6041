"""What of a round trains something, and what is said about pairs that nobody preferred."""

from __future__ import annotations

import doctest

from people.rounds_in_files import PEOPLE, task
from preflab.records import Demonstration
from preflab_people import training
from preflab_people.judgments import Answer, Judgment
from preflab_people.training import (
    canonical,
    demonstration_row,
    demonstrations,
    preferences,
    ranking,
    rankings,
)

NORTH, SOUTH, HELD_OUT, REMOVED = PEOPLE


def test_a_tie_is_told_from_a_pair_that_nobody_judged() -> None:
    """Ranks 2, none, 1, 2: the second response was compared with no other; the first and the last
    are tied."""
    asked = task("one", "a", "b", "c", "d")
    made = ranking(asked, Judgment(asked.id, NORTH.id, Answer(ranks=(2, None, 1, 2))), NORTH)
    assert made.preferences == ((2, 0), (2, 3))
    assert made.unjudged == ((0, 1), (1, 2), (1, 3))
    assert made.ties == ((0, 3),)
    assert (made.labeler, made.group) == ("labeler-a", "north")


def test_ratings_of_all_responses_come_with_the_ranking() -> None:
    asked = task("one", "a", "b")
    for likert, expected in (((6, 2), (6.0, 2.0)), ((6, None), ()), ((), ())):
        answer = Answer(ranks=(1, 2), likert=likert)
        assert ranking(asked, Judgment(asked.id, NORTH.id, answer), NORTH).ratings == expected


def test_equal_texts_are_tied_whatever_their_ranks() -> None:
    answer = Answer(ranks=(2, None, 1, 3))
    assert preferences(answer, ["a", "b", "c", "d"]) == ((0, 3), (2, 0), (2, 3))
    assert preferences(answer, ["a", "b", "c", "a"]) == ((2, 0), (2, 3))
    asked = task("one", "a", "b", "a")
    made = ranking(asked, Judgment(asked.id, NORTH.id, Answer(ranks=(1, 2, None))), NORTH)
    assert made.unjudged == ((1, 2),)
    assert made.ties == ((0, 2),)


def test_only_normal_tasks_of_training_people_who_answered() -> None:
    asked, gold = task("one", "a", "b"), task("one", "a", "b", origin="gold")
    said = [
        (gold, NORTH, Answer(ranks=(1, 2))),
        *((asked, person, Answer(ranks=(1, 2), written="w")) for person in PEOPLE[1:]),
        (asked, NORTH, Answer(skipped="unclear")),
    ]
    judged = canonical(
        [asked, gold], [Judgment(t.id, p.id, answer) for t, p, answer in said], PEOPLE
    )
    assert [(t.origin, p.id[-1]) for t, _, p in judged] == [
        *(("normal", letter) for letter in "abcd"),
        ("gold", "a"),
    ]
    assert [one.labeler for one in rankings(judged)] == [SOUTH.id]
    assert list(demonstrations(judged)) == [Demonstration(asked.prompt, "w", SOUTH.id, "south")]


def test_a_demonstration_is_a_row_with_its_author() -> None:
    row = demonstration_row(Demonstration(task("one").prompt, "w", "labeler-a", "north"))
    assert row == {
        **{"prompt": "say one .", "completion": "w", "id": "one", "user": "u1", "tags": ("t",)},
        **{"split": "train", "labeler": "labeler-a", "labeler_group": "north"},
    }


def test_examples() -> None:
    assert doctest.testmod(training).failed == 0
