"""The statistics of a round as values and as tables."""

from __future__ import annotations

import json

from rich.console import Console

from preflab.records import Prompt
from preflab_people.judgments import Answer, Judgment, Person, Task
from preflab_people.statistics.agreement import report
from preflab_people.statistics.planning import table
from preflab_people.statistics.summary import (
    agreement_values,
    definitions,
    people_table,
    planning_table,
    status_lines,
    status_tables,
)
from preflab_people.statistics.votes import Round

from .simulated import agreement_round


def _text(*tables: object) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        for one in tables:
            console.print(one)
    return capture.get()


def test_values_are_json_with_definitions_and_both_intervals() -> None:
    values = agreement_values(agreement_round(0, 40, 5))
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    both_sides = values["ranking"]["both_sides"]
    assert 0.4 < both_sides["low"] < both_sides["value"] < both_sides["high"] < 1
    assert both_sides["low_with_people"] <= both_sides["value"] <= both_sides["high_with_people"]
    ties_half = values["ranking"]["ties_half"]
    assert (ties_half["n"], ties_half["people"]) == (40, 5)
    assert "InstructGPT" in both_sides["definition"]
    assert values["held_out"]["alpha"]["value"] is None
    assert values["position"]["n"] == 0


def test_tables_say_agreement_and_people() -> None:
    asked = agreement_round(0, 40, 5)
    text = _text(*status_tables(asked))
    value = report(asked).ranking[0].measure
    assert f"{100 * value.value:.0f} %" in text
    assert f"[{100 * value.low:.0f}, {100 * value.high:.0f}]" in text
    assert "both take a side" in text
    assert text.count("labeler-") == 5
    assert "held-out people" not in text  # nobody is


def test_brackets_in_a_name_are_not_markup() -> None:
    asked = Round([], [], [Person("[red]x[/red]", "[b]")])
    assert "[red]x[/red]" in _text(*status_tables(asked))


def test_sentences_say_what_is_left_and_what_is_thin() -> None:
    tasks = [Task(f"t{i}", "rank", Prompt(f"p{i}", "?"), ("a", "b")) for i in range(10)]
    said = [Judgment(f"t{i}", "xy"[i % 2], Answer(ranks=(1, 2)), seconds=36.0) for i in range(6)]
    said.append(Judgment("t9", "x", Answer(skipped="unclear")))
    lines = status_lines(Round(tasks, said, [Person("x"), Person("y")]))
    assert lines == [
        "6 of 10 judgments, 1 skipped, 4 open.",
        "At 36 s a judgment, 0.04 h of people are left, 0.02 h for each of 2.",
        "2 sets of people share no prompts with each other: give more prompts to two people, or "
        "people cannot be compared.",
    ]
    assert status_lines(Round([], [], [])) == ["0 of 0 judgments, 0 skipped, 0 open."]


def test_every_number_of_the_tables_has_a_definition() -> None:
    said = definitions(report(agreement_round(0, 20, 3)))
    names = [line.partition(":")[0] for line in said]
    assert names[:3] == ["both take a side", "ties half", "alpha"]
    headings = [str(column.header) for column in people_table([]).columns]
    assert names[3:] == [name for name in headings if name in names[3:]]
    assert set(headings) - set(names) == {"labeler", "group", "judged", "skipped"}


def test_the_planning_table() -> None:
    text = _text(planning_table(table([400], [1.0, 1.2])))
    assert "±4.9" in text
    assert "57.0 %" in text
    assert "12 h" in text
