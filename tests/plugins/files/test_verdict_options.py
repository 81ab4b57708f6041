"""Options of a verdict that do not fit the file, or each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from judged_rows import advised, best, files, judged, refused
from preflab.options import problems
from preflab_builtin.files.config import FilesConfig, VerdictColumns


@pytest.mark.parametrize(
    "verdict,expected",
    [
        ({"winner": "winer"}, "verdict.winner: no row has a column 'winer'.*'winner'"),
        ({"winner": "winner", "high": "c", "even": 0}, "verdict.high: 'c' is no answer"),
        ({"wins": ["question"]}, "verdict.wins: 1 columns for 2 answers"),
        (
            {"scores": ["question"]},
            "question: is .What is 0.*. but must say something of each of the 2 answers",
        ),
    ],
)
def test_options_that_do_not_fit_the_file(tmp_path: Path, verdict: Any, expected: str) -> None:
    config = files(tmp_path, judged("a", "b"), verdict=VerdictColumns(**verdict))
    assert re.search(expected, refused(config)), refused(config)


@pytest.mark.parametrize(
    "verdict,key,expected",
    [
        ({"winner": "w", "scores": ["s"]}, "verdict.scores", "one of them decides"),
        ({"first": ["x"]}, "verdict.first", "explains 'winner', which is not given"),
        ({"winner": "w", "high": "a"}, "verdict.high", "needs 'even'"),
        ({"winner": "w", "even": 0.0}, "verdict.even", "needs 'high'"),
        ({"winner": "w", "first": ["x"], "tie": ["X"]}, "verdict.first", "given twice"),
    ],
)
def test_options_that_do_not_fit_each_other(verdict: Any, key: str, expected: str) -> None:
    config = FilesConfig(rankings="x", verdict=VerdictColumns(**verdict))
    assert any(k == key and expected in message for k, message in problems(config))


@pytest.mark.parametrize(
    "one,other,more",
    [
        ("model_1", "model_2", {"annotator": ["ann", "bob"]}),
        ("model_1", "model_2", {"style": ["very formal", "quite short"]}),
        ("alpaca", "vicuna", {"annotator": ["Ann Lee", "Bob Ray"]}),
        ("alpaca", "vicuna", {"campaign": ["may", "june"]}),
    ],
)
def test_the_advised_answers_are_columns_that_belong_together(
    tmp_path: Path, one: str, other: str, more: Any
) -> None:
    """The words of the message, as they are printed, read the file: the first is better in the
    first row, and the second in the second."""
    values = "ab" if one == "model_1" else (one, other)
    rows: Any = [
        {"question": f"What is {i}?", one: f"It is {i}.", other: f"It was {i}.", "preferred": value}
        for i, value in enumerate(values)
    ]
    rows = [{**r, **{k: v[i] for k, v in more.items()}} for i, r in enumerate(rows)]
    message = refused(files(tmp_path, rows))
    assert f"rankings.verdict.answers=[{one},{other}]" in message
    words = message.partition("your columns are called: ")[2].partition("\n")[0].split()
    assert [w.partition("=")[0].rpartition(".")[2] for w in words] == [
        "prompt",
        "answers",
        "winner",
    ]
    told = OmegaConf.from_dotlist([word.removeprefix("rankings.") for word in words])
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(FilesConfig), told))
    read = files(tmp_path, rows, verdict=config.verdict, columns=config.columns)
    assert best(read) == [0, 1]


def test_a_value_that_points_to_no_answer_is_not_guessed(tmp_path: Path) -> None:
    rows: Any = [
        {"question": "q", "model_1": "x y", "model_2": "y z", "annotator": "eve", "preferred": v}
        for v in "ab"
    ]
    answers = ["model_1", "model_2", "annotator"]
    verdict = VerdictColumns(answers=answers, winner="preferred")
    message = refused(files(tmp_path, rows, verdict=verdict))
    assert "[a]" not in message
    assert "[b]" not in message
    assert "If annotator is no answer: rankings.verdict.answers=[model_1,model_2]" in message
    fixed = VerdictColumns(**{**vars(verdict), **vars(advised(message, "answers")["verdict"])})
    fixed.winner = "preferred"
    assert best(files(tmp_path, rows, verdict=fixed)) == [0, 1]
