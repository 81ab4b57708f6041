"""Verdicts of judges."""

from __future__ import annotations

from preflab_builtin.evaluation.judges import preferred


def test_ties_count_half() -> None:
    assert preferred([1.0, 2.0, 0.0], [1.0, 1.0, 1.0]) == [0.5, 1.0, 0.0]
