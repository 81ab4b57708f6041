"""Rows of one question, and groups compared in pairs by question."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.console import commands
from preflab.errors import UserError
from stored_rows import json_lines, results


def test_rows_of_one_question_are_not_independent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 4 questions with 5 answers each, which agree: as wide as 4 rows, half of which are right
    rows = [
        {"prompt": f"q{q}", "response": "x", "ok": q % 2 == 0} for q in range(4) for _ in range(5)
    ]
    file = json_lines(tmp_path, rows)
    output = results(capsys, file, "--score", "ok")
    measure = output["results"][0]["measures"]["ok"]
    assert output["questions"] == ["prompt"]
    assert (output["results"][0]["n"], measure["n"]) == (20, 4)
    four = results(capsys, json_lines(tmp_path, rows[::5]), "--score", "ok", "--independent")[
        "results"
    ][0]["measures"]["ok"]
    assert (measure["low"], measure["high"]) == pytest.approx((four["low"], four["high"]))
    file = json_lines(tmp_path, rows)
    alone = results(capsys, file, "--score", "ok", "--independent")
    assert alone["questions"] == []
    assert alone["results"][0]["measures"]["ok"]["n"] == 20
    commands.run("evaluate-samples", [file, "--score", "ok"])
    assert "over 4 questions (column prompt)" in capsys.readouterr().out


def test_one_question_only_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "q", "response": "x", "ok": i % 2} for i in range(4)]
    output = results(capsys, json_lines(tmp_path, rows), "--score", "ok")
    assert output["notes"][0].startswith("All rows have the same prompt")


PAIRED = [
    {"model": model, "qid": f"q{q}", "response": "x", "mark": q + bonus}
    for model, bonus in (("A", 0), ("B", 1), ("C", 3))
    for q in range(3)
]


def test_groups_are_compared_in_pairs_by_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Marks 0, 1, 2 of A and 1, 2, 3 of B differ by 1 on every question
    file = json_lines(tmp_path, [*PAIRED, {**PAIRED[0], "qid": "only A"}])
    words = (file, "--score", "mark", "--group", "model", "--versus")
    output = results(capsys, *words, "A")
    *_, b, c = output["results"]
    assert output["notes"][0] == (
        "B - A: left out 0 questions that only B answers, and 1 that only A answers."
    )
    assert (b["group"], b["versus"], b["n"]) == ({"model": "B"}, {"model": "A"}, 3)
    # every question says 1, of a mark without a known range: there is no interval
    assert (b["measures"]["mark"]["value"], b["measures"]["mark"]["low"]) == (1.0, None)
    assert (c["group"], c["measures"]["mark"]["value"]) == ({"model": "C"}, 3.0)
    every = [r for r in results(capsys, *words)["results"] if "versus" in r]
    assert [(r["group"]["model"], r["versus"]["model"]) for r in every] == [
        ("B", "A"),
        ("C", "A"),
        ("C", "B"),
    ]
    commands.run("evaluate-samples", list(words))
    assert "B - A" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words,message",
    [
        (["--versus", "A"], "add --group COLUMN"),
        (["--group", "model", "--versus", "D"], "there is no group 'D' in model. Allowed: A, B, C"),
        (["--group", "model", "--versus", "A", "--independent"], "leave out --independent"),
        (["--group", "response", "--versus"], "response has one value"),
        (["--group", "qid", "--versus", "q0"], "answer no question in common"),
        (["--group", "model", "--versus", "A", "--question", "gid"], "Did you mean 'qid'"),
        (["--tokenize", "zh"], "--tokenize zh is about right answers"),
        (["--reference-separator", ";"], "--reference-separator ; is about right answers"),
    ],
)
def test_what_cannot_be_compared_is_said(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        commands.run("evaluate-samples", [json_lines(tmp_path, PAIRED), "--score", "mark", *words])
