"""What counts as a vote."""

from __future__ import annotations

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics.votes import (
    SIDES,
    Round,
    Vote,
    cluster_of,
    distinct,
    flag_names,
    flag_votes,
    likert_votes,
    pair_votes,
    table,
)

TASK = Task("t", "rank", Prompt("p", "?"), ("a", "b", "a"))


def _round(tasks: list[Task], answers: dict[tuple[str, str], Answer], *people: Person) -> Round:
    return Round(tasks, [Judgment(t, who, a) for (t, who), a in answers.items()], people)


def test_equal_texts_are_one_response_and_an_unjudged_pair_has_no_vote() -> None:
    asked = _round(
        [TASK],
        {("t", "x"): Answer(ranks=(2, 1, 2)), ("t", "y"): Answer(ranks=(1, None, 1))},
    )
    assert distinct(TASK.responses) == [0, 1]
    assert list(pair_votes(asked.answered())) == [Vote(("t", 0, 1), "prompt p", "x", 0)]


def test_normal_tasks_of_people_who_count_are_answered() -> None:
    tasks = [TASK, Task("g", "rank", Prompt("p", "?"), ("a", "b"), origin="gold")]
    yes = Answer(ranks=(1, 2, 1))
    asked = _round(
        tasks,
        {
            ("t", "x"): yes,
            ("t", "held"): yes,
            ("t", "gone"): yes,
            ("t", "unknown"): Answer(skipped="unclear"),
            ("g", "x"): Answer(ranks=(1, 2)),
        },
        *(Person("x"), Person("held", held_out=True), Person("gone", state="removed")),
    )
    assert [one.labeler for one in asked.answered()] == ["x", "held"]
    assert [one.labeler for one in asked.answered(held_out=False)] == ["x"]
    assert [one.labeler for one in asked.answered(held_out=True)] == ["held"]
    assert [one.task.id for one in asked.answered("gold")] == ["g"]


def test_groups_hold_people_who_count() -> None:
    people = (Person("b", "south"), Person("a", "north"), Person("c", "south", state="forgotten"))
    asked = _round([], {}, *people, Person("d"))
    assert asked.groups() == {"north": ["a"], "south": ["b"]}


def test_what_is_sampled_is_the_group_of_the_prompt() -> None:
    assert cluster_of(TASK) == "prompt p"
    assert cluster_of(Task("t", "rank", Prompt("p", "?", group="debate 3"))) == "group debate 3"


def test_ratings_and_flags_are_votes_only_where_they_were_asked() -> None:
    asked = _round(
        [TASK],
        {
            ("t", "x"): Answer(likert=(7, None, 7), flags=(("rude",), (), ("rude",))),
            ("t", "y"): Answer(ranks=(1, 2, 1)),
        },
    ).answered()
    assert list(likert_votes(asked)) == [Vote(("t", 0), "prompt p", "x", 6)]
    assert [v.value for v in flag_votes(asked, "rude")] == [1, 0]
    assert flag_names(asked) == ["rude"]


def test_votes_as_a_table() -> None:
    votes = table(
        [
            Vote(("t", 0, 1), "c1", "x", 2),
            Vote(("t", 0, 1), "c1", "y", 0),
            Vote(("u",), "c0", "x", 1),
        ],
        SIDES,
    )
    assert votes.counts.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert (votes.people, votes.clusters) == (("x", "y"), ("c0", "c1"))
    assert votes.shared().counts.tolist() == [[1, 0, 1]]
    assert votes.of(["x"]).counts.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert votes.of([]).counts.tolist() == []
