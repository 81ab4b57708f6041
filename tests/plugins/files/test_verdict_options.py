"""Options of a verdict that do not fit the file, or each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from judged_rows import files, judged, refused
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
