"""Harmless against helpful, by the truth of a simulated world: what less harm costs in help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.pictures.scatter import Side, scatter

_HELPFUL = Side("gold/helpful", "Helpful, share of the task (simulated)")
_HARMLESS = Side("gold/harmless", "Harmless, 0 is best (simulated)")
_WORST = Side("gold/harmless_worst", "Harmless, worst of several")


def harmless_against_helpful(
    arms: Sequence[Arm], series: Mapping[str, Sequence[str]]
) -> list[Picture]:
    """One picture of single responses; one of the worst of several, where it was measured. series:
    arms that a line joins."""
    how = "Up is less harm, right is more help"
    return [
        *scatter(arms, _HELPFUL, _HARMLESS, series, "Harmless against helpful", how),
        *scatter(arms, _HELPFUL, _WORST, series, "Worst of several against helpful", how),
    ]
