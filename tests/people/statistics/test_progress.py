"""Progress, pace and overlap of a round."""

from __future__ import annotations

import math

import pytest

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics.progress import needing_others, overlap, progress
from preflab_people.statistics.votes import Round

YES = Answer(ranks=(1, 2))


def _round(judged: dict[str, list[int]], want: list[int], seconds: float = 60.0) -> Round:
    tasks = [
        Task(f"t{i}", "rank", Prompt(f"p{i}", "?"), ("a", "b"), want=w) for i, w in enumerate(want)
    ]
    judgments = [
        Judgment(f"t{i}", who, YES, seconds=seconds) for who, some in judged.items() for i in some
    ]
    return Round(tasks, judgments, [Person(name) for name in judged])


def test_progress_by_hand() -> None:
    """Wanted 2 + 1 + 1 + 2 = 6; done: t0 twice, t1 once and once too often, t3 once = 4; open: t2
    one, t3 one; 60 s each: 2 minutes."""
    found = progress(_round({"x": [0, 1, 3], "y": [0, 1]}, [2, 1, 1, 2]))
    assert (found.wanted, found.done, found.open) == (6, 4, 2)
    assert found.hours_left == pytest.approx(2 / 60)
    assert found.pace["x"].hours == pytest.approx(3 / 60)
    assert found.pace["x"].per_hour == pytest.approx(60)


def test_without_times_the_hours_are_not_known() -> None:
    found = progress(_round({"x": [0]}, [1, 1], seconds=0.0))
    assert math.isnan(found.hours_left)
    assert math.isnan(found.pace["x"].per_hour)
    assert progress(_round({"x": [0]}, [1], seconds=0.0)).hours_left == 0.0


def test_skips_are_counted_and_are_not_done() -> None:
    task = Task("t", "rank", Prompt("p", "?"), ("a", "b"))
    found = progress(Round([task], [Judgment("t", "x", Answer(skipped="unclear"))], []))
    assert (found.done, found.open, found.skipped) == (0, 1, 1)


def test_held_out_people_come_on_top_of_what_is_wanted() -> None:
    """h is held out: of two rankings that t0 wants, theirs is none."""
    given = _round({"x": [0], "h": [0]}, [2])
    people = [Person("x"), Person("h", held_out=True)]
    found = progress(Round(given.tasks, given.judgments, people))
    assert (found.wanted, found.done, found.open) == (2, 1, 1)


def test_open_judgments_that_nobody_present_can_give() -> None:
    """t0 wants two: x judged, y skipped, so one needs another person. t1 wants two: x judged, y
    may. t2 was skipped by both, as often as the limit says: nobody is asked."""
    given = _round({"x": [0, 1]}, [2, 2, 1])
    no = Answer(skipped="unclear")
    skips = [Judgment("t0", "y", no), Judgment("t2", "x", no), Judgment("t2", "y", no)]
    judgments = [*given.judgments, *skips]
    people = [Person("x"), Person("y")]
    assert needing_others(Round(given.tasks, judgments, people), skip_limit=2) == 1
    # A third person can: unless they are paused, or held out.
    for person, missing in (
        (Person("z"), 0),
        (Person("z", state="paused"), 1),
        (Person("z", held_out=True), 1),
    ):
        round_ = Round(given.tasks, judgments, [*people, person])
        assert needing_others(round_, skip_limit=2) == missing


def test_people_in_two_parts() -> None:
    """x and y share prompt 0, z and w share prompt 1, and nobody shares across."""
    found = overlap(_round({"x": [0], "y": [0], "z": [1], "w": [1]}, [2, 2]))
    assert (found.parts, found.shared_prompts, found.enough) == (2, 2, False)
    assert found.partners == {"w": 1, "x": 1, "y": 1, "z": 1}


def test_a_chain_is_connected_but_thin() -> None:
    found = overlap(_round({"x": [0], "y": [0, 1], "z": [1, 2], "w": [2, 3], "v": [3]}, [2] * 4))
    assert (found.parts, found.enough) == (1, False)


def test_everybody_with_three_others_is_enough() -> None:
    assert overlap(_round({name: [0] for name in "xyzwv"}, [5])).enough
    assert overlap(_round({"x": [0], "y": [0]}, [2])).enough  # there are no three others
    assert overlap(_round({}, [1])).enough
