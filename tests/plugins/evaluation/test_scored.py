"""Scores of rows over units, and paired differences, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from preflab_builtin.evaluation.scored import CorpusScores, RowScores


def test_rows_of_one_question_count_together() -> None:
    scores = RowScores([1.0, 1.0, 1.0, 0.0], 0.0, 1.0)
    apart, together = (scores.measure(range(4), units) for units in (range(4), "aaab"))
    assert apart.value == together.value == 0.75
    assert (apart.n, together.n) == (4, 2)
    assert together.high - together.low > apart.high - apart.low


def test_a_paired_difference_is_the_mean_over_questions() -> None:
    # Questions a: (1 + 0) / 2 - 0 = .5; b: 1 - 1 = 0; c: 1 - 0 = 1. Mean .5, s = .5,
    # t(2, .975) = 4.3027: half-width 4.3027 * .5 / sqrt(3) = 1.2421, cut at 1 and -1.
    scores = RowScores([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0], 0.0, 1.0)
    pairs = {"a": ([0, 1], [4]), "b": ([2], [5]), "c": ([3], [6])}
    difference = scores.difference(pairs)
    assert (difference.value, difference.n) == (0.5, 3)
    assert (difference.low, difference.high) == pytest.approx((-0.7421, 1.0), abs=1e-4)
    free = RowScores(scores.values).difference(pairs)
    assert (free.low, free.high) == pytest.approx((-0.7421, 1.7421), abs=1e-4)


def test_pairing_takes_out_what_questions_have_in_common() -> None:
    # Question i scores i on one side, and i + 1 or i + 1.1 on the other: differences of 1 and 1.1,
    # sd .0513, half-width 1.96 * .0513 / sqrt(20) = .0225, where one side alone goes from 0 to 19.
    values = [float(i) for i in range(20)] + [i + 1 + 0.1 * (i % 2) for i in range(20)]
    pairs = {i: ([20 + i], [i]) for i in range(20)}
    difference = RowScores(values).difference(pairs)
    assert difference.value == pytest.approx(1.05)
    assert (difference.high - difference.low) / 2 == pytest.approx(0.0225, rel=0.1)


def test_equal_sides_are_not_certain_to_be_equal() -> None:
    difference = RowScores([1.0] * 20, 0.0, 1.0).difference({i: ([i], [10 + i]) for i in range(10)})
    assert difference.low < difference.value == 0 < difference.high


def _rate(total: np.ndarray) -> float:
    return float(100 * total[0] / total[1]) if total[1] else 0.0


def test_a_corpus_score_adds_up_before_it_divides() -> None:
    # hits and words of three rows: (1 + 0 + 3) / (1 + 4 + 3) = 1/2
    scores = CorpusScores(np.array([[1.0, 1], [0, 4], [3, 3]]), _rate, 100.0)
    measure = scores.measure(range(3), range(3))
    assert (measure.value, measure.n) == (50.0, 3)
    # without each row: 3/7, 1, 1/5: mean .5429, squares .0131 + .2090 + .1176 = .3396; error
    # sqrt(2/3 * .3396) = .4758; t(2) = 4.3027: beyond 0 to 100
    assert (measure.low, measure.high) == (0.0, 100.0)
    alone = scores.measure([0], [0])
    assert (alone.value, alone.n) == (100.0, 1)
    assert math.isnan(alone.low)
    assert math.isnan(scores.measure([], []).value)


def test_a_corpus_difference_is_paired() -> None:
    counts = np.array([[i % 3, 3.0] for i in range(30)] * 2)
    counts[30:, 0] += 1
    scores = CorpusScores(counts, _rate, 100.0)
    difference = scores.difference({i: ([30 + i], [i]) for i in range(30)})
    assert difference.value == pytest.approx(100 / 3)
    # every row of one side has one hit more of 3 words: no draw of rows changes that
    assert -100 <= difference.low < 100 / 3 < difference.high <= 100
    together = scores.measure(range(30), [i // 2 for i in range(30)])
    assert together.n == 15
