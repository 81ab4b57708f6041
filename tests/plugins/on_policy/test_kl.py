"""The coefficient of the KL penalty against hand-worked values."""

from __future__ import annotations

import pytest

from preflab_builtin.on_policy.kl import adapted_coefficient


@pytest.mark.parametrize(
    "kl,coef",
    [
        (3, 0.197952),  # error clipped to -.2: .2 (1 - .2 * 512 / 10000)
        (6, 0.2),
        (7, 0.2017066667),  # error 1/6
        (12, 0.202048),
        (-2, 0.197952),  # an estimate may be negative
    ],
)
def test_adaptive_coefficient(kl: float, coef: float) -> None:
    assert adapted_coefficient(0.2, kl, 6, 10_000, 512) == pytest.approx(coef, rel=1e-9)


def test_twenty_saturated_batches() -> None:
    coef = 1.0
    for _ in range(20):
        coef = adapted_coefficient(coef, 100, 6, 10_000, 512)
    assert coef == pytest.approx(1.2260020722, rel=1e-9)  # 1.01024 ** 20
