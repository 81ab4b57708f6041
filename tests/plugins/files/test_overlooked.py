"""A column that judges the answers is never passed over: not by names that the config gives, and
not by leaving it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from judged_rows import advised, best, files, judged, refused
from preflab_builtin.files.config import ColumnNames, VerdictColumns
from preflab_builtin.files.source import inspect

_MAPPED = ColumnNames(prompt="question", chosen="answer_a", rejected="answer_b")


@pytest.mark.parametrize("ignore", [[], ["winner"]])
@pytest.mark.parametrize("values", [("a", "b"), ("answer_b", "tie"), ("second 0", "second 1")])
def test_a_verdict_is_not_overruled_by_names_of_columns(
    tmp_path: Path, values: Any, ignore: list[str]
) -> None:
    message = refused(files(tmp_path, judged(*values), columns=_MAPPED, ignore=ignore))
    assert "verdict.answers=[answer_a,answer_b] rankings.verdict.winner=winner" in message
    assert "ignore=" not in message
    message = refused(
        files(tmp_path, judged("", "", score_a=1, score_b=2), columns=_MAPPED, ignore=["winner"])
    )
    assert "say in 2 of 2 rows that 'answer_a' is not the better answer" in message


def test_a_verdict_that_agrees_may_be_ignored(tmp_path: Path) -> None:
    rows = judged("a", "a", "a")
    assert best(files(tmp_path, rows, columns=_MAPPED, ignore=["winner"])) == [0, 0, 0]


@pytest.mark.parametrize("column", ["label", "preference", "better_id"])
def test_an_ignored_column_that_may_judge_is_told(tmp_path: Path, column: str) -> None:
    rows = [{"prompt": f"{i}?", "chosen": "a", "rejected": "b", column: i % 2} for i in range(4)]
    message = refused(files(tmp_path, rows))
    assert f"verdict.answers=[chosen,rejected] rankings.verdict.winner={column}" in message
    assert "ignore=" not in message
    told = inspect(files(tmp_path, rows, ignore=[column])).notices
    assert any(f"'{column}' is ignored, though its name says" in notice for notice in told)


def test_a_verdict_beside_the_pair_is_read_on_request(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{i}?", "chosen": "a", "rejected": "b", "preference": value}
        for i, value in enumerate(("chosen", "rejected"))
    ]
    told = VerdictColumns(answers=["chosen", "rejected"], winner="preference")
    assert best(files(tmp_path, rows, verdict=told)) == [0, 1]


def test_a_demonstration_is_not_the_worse_answer(tmp_path: Path) -> None:
    columns = ColumnNames(prompt="question", completion="answer_a")
    message = refused(files(tmp_path, judged("a", "b"), "demonstrations", columns=columns))
    assert "'answer_a' would be learnt in every row. Give the file as rankings" in message


@pytest.mark.parametrize(
    "ignore,more",
    [
        (["winner"], {"winner": ("a", "b")}),
        (["winner"], {"winner": (None, "b")}),  # nothing at the file's start
        (["winner"], {"winner": ("a", "tie")}),
        ([], {"score_a": (2, 1), "score_b": (1, 2)}),
    ],
)
def test_a_verdict_that_turns_round_below_the_head_is_refused(
    tmp_path: Path, ignore: list[str], more: Any
) -> None:
    """Row 251 of 251 says something else than those at the file's start, of which 200 decide."""
    rows = judged(*[None] * 251)
    for i, one in enumerate(rows):
        one.update({name: values[i == 250] for name, values in more.items()})
    message = refused(files(tmp_path, rows, columns=_MAPPED, ignore=ignore))
    assert ":251: " in message
    assert "1 row says that 'answer_a' is not the better answer" in message
    option = "winner=winner" if ignore else "scores=[score_a,score_b]"
    assert f"rankings.verdict.answers=[answer_a,answer_b] rankings.verdict.{option}, w" in message


def test_a_demonstration_that_is_the_worse_answer_below_the_head(tmp_path: Path) -> None:
    columns = ColumnNames(prompt="question", completion="answer_a")
    rows = judged(*["a"] * 250, "b")
    given = files(tmp_path, rows, "demonstrations", columns=columns, ignore=["answer_b", "winner"])
    message = refused(given)
    assert ":251: winner: is 'b'. 1 row says" in message
    assert "Give the file as rankings" in message


def test_a_model_that_gave_both_answers_names_neither(tmp_path: Path) -> None:
    """Both answers of the middle row are of one model. To say that its name means the first answer
    would be wrong in the last row: such rows are left out, at a file's start and after it."""
    models = [("gpt", "llama"), ("gpt", "gpt"), ("llama", "gpt")]
    rows = [
        {**row, "model_a": a, "model_b": b}
        for row, (a, b) in zip(judged("gpt", "gpt", "gpt"), models, strict=True)
    ]
    message = refused(files(tmp_path, rows))
    assert "In 1 of the rows this names several of the answers" in message
    assert ".first=" not in message
    given = advised(message, "winner", "on_bad_row")
    with pytest.warns(UserWarning, match="2 of 3 rows kept"):
        assert best(files(tmp_path, rows, **given)) == [0, 1]
    message = refused(files(tmp_path, [rows[0]] * 300 + rows))
    assert ":302: winner: is 'gpt', which several answers of the row are of" in message
    assert ".first=" not in message


def test_the_best_wrong_answer_is_not_the_best(tmp_path: Path) -> None:
    rows = judged("a", "b", column="best_wrong")
    message = refused(files(tmp_path, rows))
    assert "seems to name the worse answer" in message
    assert best(files(tmp_path, rows, **advised(message, "winner", "first", "second"))) == [1, 0]
    agreeing = [{**row, "winner": "ba"[i]} for i, row in enumerate(rows)]
    assert best(files(tmp_path, agreeing)) == [1, 0]
    assert "best_wrong: is 'b'" in refused(files(tmp_path, [{**rows[1], "winner": "b"}]))
