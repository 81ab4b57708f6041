"""Learning rates of 1e20, 1e-10 and 0, and batches that do not fit each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflab import NumericError
from preflab.options import problems
from preflab_builtin.on_policy import experience as ppo_experience
from preflab_builtin.on_policy import guards
from preflab_builtin.on_policy import procedure as ppo_training
from preflab_builtin.ppo.config import PPOConfig
from reliability.test_bad_numbers import digest, ppo, pretraining, sft


@pytest.mark.parametrize("made", [pretraining, sft])
def test_a_learning_rate_of_1e20_stops_within_100_steps(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    def run(procedure: Any) -> None:
        for index in range(100):
            procedure.step(index)

    with pytest.raises(NumericError):
        run(made(tmp_path, 1e20, 100))
    run(made(tmp_path, 1e-10, 100))


def test_a_learning_rate_of_0_keeps_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    procedure, ratios = ppo(tmp_path, lr=0.0), list[float]()
    collected = guards.require_finite_experience

    def noting(algorithm: str, experience: ppo_experience.Experience) -> None:
        ratios.append(float(experience.log_ratio.abs().max()))
        collected(algorithm, experience)

    monkeypatch.setattr(ppo_training, "require_finite_experience", noting)
    rows = [procedure.step(index) for index in range(3)]
    assert len(ratios) == 3
    assert max(ratios) <= 1e-4
    assert all(
        abs(row["val/ratio"] - 1) <= 1e-5 and row["policy/clipfrac_avg"] == 0 for row in rows
    )


def test_a_minibatch_larger_than_the_batch_is_refused() -> None:
    too_large = problems(PPOConfig(batch=8, minibatch=64, episodes=8))
    assert ("minibatch", "is 64 but must divide batch (8)") in list(too_large)


def test_a_micro_batch_larger_than_the_batch_changes_nothing(tmp_path: Path) -> None:
    """It is a limit, not a divisor: the number of accumulations is never 0."""
    rows = []
    for micro_batch in (8, 1000):
        procedure = ppo(tmp_path)
        procedure.runtime.config.micro_batch = micro_batch
        procedure.step(0)
        rows.append(digest(procedure))
    assert rows[0] == rows[1]
