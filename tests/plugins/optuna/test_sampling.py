"""Optuna's samplers: proposals follow from what they are told, and are better than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.searching import Dimension, Space, Trial, Value
from preflab_builtin.optuna import config as optuna_config
from preflab_builtin.optuna.config import RandomConfig, TPEConfig, inspect

LR = Dimension("lr", low=1e-5, high=1e-1, log=True)
SPACE = Space((LR, Dimension("n", low=1, high=8, step=1, whole=True), Dimension("c", ("a", "b"))))


def _sampler(config: Any, space: Space = SPACE) -> Any:
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    from preflab_builtin.optuna.sampling import OptunaSampler

    return OptunaSampler(config, space)


def _objective(values: Mapping[str, Value]) -> float:
    """At most 0, at lr = 1e-3 and the choice a."""
    return -((math.log10(float(values["lr"])) + 3) ** 2) - (values["c"] == "b")


def _search(config: Any, blocks: int, space: Space = SPACE) -> list[Trial]:
    """A new sampler for each block, as after a kill; trials with n = 3 fail."""
    trials: list[Trial] = []
    for _ in range(blocks):
        for values in _sampler(config, space).propose(trials, 4):
            assert all(d.has(values[d.key]) for d in space.dimensions)
            trials.append(Trial(values, None if values["n"] == 3 else _objective(values)))
    return trials


def test_the_same_results_give_the_same_proposals() -> None:
    first = _search(TPEConfig(), 4)
    assert first == _search(TPEConfig(), 4)
    assert len({str(trial.values) for trial in first}) == 16  # no block repeats another
    other = Space(SPACE.dimensions, seed=1)
    assert first[0] != _search(TPEConfig(), 1, other)[0]


def test_tpe_finds_the_optimum_better_than_chance_does() -> None:
    def last(config: Any) -> float:
        done = [t.objective for t in _search(config, 12)[24:] if t.objective is not None]
        return sum(done) / len(done)

    # By chance: log10(lr) is uniform from -5 to -1, so that its mean square about -3 is 4^2 / 12 =
    # 1.33, and half of the trials have b: -1.83 on average.
    assert last(RandomConfig()) < -1.2
    assert last(TPEConfig()) > -1.0


def test_importance_names_the_key_that_matters() -> None:
    trials = _search(TPEConfig(), 8)
    found = _sampler(TPEConfig()).importance(trials)
    assert math.isclose(sum(found.values()), 1.0)
    assert max(found, key=lambda key: found[key]) == "lr"
    assert _sampler(TPEConfig()).importance(trials[:5]) == {}


def test_the_less_the_better_is_the_mirror_image() -> None:
    trials = [Trial({"lr": 10.0**-i, "n": 1, "c": "a"}, float(i)) for i in (1, 2, 3, 4, 5) * 3]
    less = _sampler(TPEConfig(), Space(SPACE.dimensions, more=False)).propose(trials, 8)
    more = _sampler(TPEConfig()).propose(trials, 8)

    def mean(proposals: list[Mapping[str, float]]) -> float:
        return sum(math.log10(values["lr"]) for values in proposals) / len(proposals)

    assert mean(less) > mean(more) + 1  # the objective is -log10(lr)


def test_a_package_that_is_missing_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"sampler=tpe needs the package optuna.*preflab\[optuna\]"):
        inspect(optuna_config.TPEConfig())
