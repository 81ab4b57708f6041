"""What is said of odd scores, of names of groups, and of outputs that hold a reasoning block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from preflab.console import commands
from preflab.errors import UserError
from preflab_builtin.stored_samples.hints import about_groups, about_reasoning, about_scores
from stored_rows import json_lines, results


@pytest.mark.parametrize(
    "scores,said",
    [
        ([4, 4, -999], ["1 row holds -999, far outside the rest (4 to 4)"]),
        ([4, 5, 3, 4, -1, 4, -1], ["2 rows hold -1, far outside the rest (3 to 5)"]),
        ([1, 2, 3, 4, 5, -1], ["1 row holds -1, far outside the rest (1 to 5)"]),
        ([90, 92, 88, 0.9], ["1 row holds 0.9, far outside the rest (88 to 92)"]),
        ([90, 90, 90, 0.9], ["1 row holds 0.9, far outside the rest (90 to 90)"]),
        # What is left after the first is looked at again
        ([4, 3, 5, 4, 4, -1, -999], ["1 row holds -999", "1 row holds -1"]),
    ],
)
def test_scores_far_outside_the_rest_are_named(scores: list[float], said: list[str]) -> None:
    found = list(about_scores("mark", scores))
    assert len(found) == len(said)
    for sentence, words in zip(found, said, strict=True):
        assert sentence.startswith(f"mark: {words}")


@pytest.mark.parametrize(
    "scores",
    [
        [],
        [4],
        [1, 0, 0.5, 1, 1, 1, 1, 1, 1],
        [1, 2, 3, 4, 5, 5, 5],
        [5, 5, 5, 1],
        [100, 100, 100, 100, 0],
        [-1, 0, 1, 1, 1],  # worse, alike, better
        [-0.3, 0.2, -1.4, 0.9, 2.2, -1],
        [4, 4, -999, -999],  # half of the rows are no exception
    ],
)
def test_scores_that_belong_together_are_not(scores: Sequence[float]) -> None:
    assert list(about_scores("mark", scores)) == []


def test_groups_that_differ_by_case() -> None:
    groups = [("A", "x"), ("a", "x"), ("B", "y"), ("A", "y")]
    assert [s.split(" differ by case")[0] for s in about_groups(["model", "set"], groups)] == [
        "model: A, a"
    ]


def test_outputs_that_think_aloud_are_counted() -> None:
    texts = ["<think>a</think>b", "c", "<think>d"]
    (said,) = about_reasoning(texts, dropped=False)
    assert said.startswith("2 of 3 outputs hold a reasoning block")
    assert "--drop-reasoning leaves it out" in said
    assert "1 ends before an answer" in said
    (said,) = about_reasoning(texts, dropped=True)
    assert "is left out" in said
    assert list(about_reasoning(["c"], dropped=True)) == []


def test_the_command_strips_groups_and_drops_reasoning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"model": "A", "response": "<think>Rome?</think>Paris", "gold": "Paris", "mark": 4},
        {"model": "A ", "response": "Paris", "gold": "Paris", "mark": 5},
        {"model": "A", "response": "Paris", "gold": "Paris", "mark": -999},
    ]
    file = json_lines(tmp_path, rows)
    words = (file, "--reference", "gold", "--metric", "exact_match", "--group", "model")
    output = results(capsys, *words, "--score", "mark")
    assert [result["n"] for result in output["results"]] == [3, 3]  # A, all
    assert [note[:12] for note in output["notes"]] == ["mark: 1 row ", "1 of 3 outpu"]
    assert output["results"][0]["measures"]["exact_match"]["value"] == pytest.approx(2 / 3)
    output = results(capsys, *words, "--drop-reasoning")
    assert output["results"][0]["measures"]["exact_match"]["value"] == 1.0
    with pytest.raises(UserError, match="--drop-reasoning is about generated texts"):
        commands.run("evaluate-samples", [file, "--score", "mark", "--drop-reasoning"])
