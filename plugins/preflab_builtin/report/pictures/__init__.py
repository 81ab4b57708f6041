"""The pictures of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures.drift import drift
from preflab_builtin.report.pictures.frontier import harmless_against_helpful
from preflab_builtin.report.pictures.learning import earlier_curves, learning_curves
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.pictures.tax import reward_against_tax
from preflab_builtin.report.pictures.timing import iterations
from preflab_builtin.report.pictures.win_rates import win_rates

TIME = "Where an iteration's time goes"
"""Heading of the pictures that are about the machine and not about the models."""


def figures(
    arms: Sequence[Arm], series: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[Picture]]:
    """All pictures by heading, in their order. series: labels of arms that a line joins, by
    name. In legends, arms without a colour of their own come last."""
    ranked = sorted(arms, key=lambda arm: arm.number is None)
    pictures: dict[str, Sequence[Picture]] = {
        "Reward against tax": reward_against_tax(ranked, series),
        "Harmless against helpful": harmless_against_helpful(ranked, series),
        "Over-optimisation": drift(ranked),
        "Win rates": win_rates(arms),
        "Learning curves": learning_curves(ranked),
        "Learning curves of the earlier stages": earlier_curves(ranked),
        TIME: iterations(arms),
    }
    return {heading: some for heading, some in pictures.items() if some}
