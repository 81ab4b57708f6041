"""Reward against the alignment tax: what the arms gain, and what they keep of pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.pictures.scatter import Side, scatter

_GAINS = (
    Side("gold/gold", "True utility (simulated)"),
    Side("reward/proxy", "Reward by the reward model"),
)
_LOSS = "Loss on held-out text, nats per token (axis reversed)"
_TAXES = (
    Side("families/mean", "Pretraining tasks answered right, %", percent=True),
    Side("document_loss/all", _LOSS, downwards=True),
)


def reward_against_tax(arms: Sequence[Arm], series: Mapping[str, Sequence[str]]) -> list[Picture]:
    """One picture per gain, the true one and the reward model's. series: arms that a line joins."""
    measured = {name for arm in arms for name in arm.measures}
    tax = next((tax for tax in _TAXES if tax.measure in measured), None)
    if tax is None:
        return []
    how = "Up is more reward, right is less alignment tax"
    titles = [f"{gain.title} against the alignment tax" for gain in _GAINS]
    return [
        picture
        for gain, title in zip(_GAINS, titles, strict=True)
        for picture in scatter(arms, tax, gain, series, title, how)
    ]
