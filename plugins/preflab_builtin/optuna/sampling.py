"""Proposals by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preflab.searching import Dimension, Space, Trial, Value
from preflab_builtin.optuna.config import GPConfig, RandomConfig, TPEConfig

STARTUP = 10
"""Random trials before a sampler learns from results."""


class OptunaSampler:
    """One search. Every block has a new study of Optuna with all trials that have run, and a
    sampler whose seed follows from the search's seed and their number. So nothing is kept between
    blocks: a search that was killed is told the same trials by the same results."""

    def __init__(self, config: TPEConfig | GPConfig | RandomConfig, space: Space) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna: Any = optuna
        self._name, self._space = config.name, space
        self._dimensions = {d.key: _distribution(optuna, d) for d in space.dimensions}

    def propose(self, trials: Sequence[Trial], number: int) -> list[Mapping[str, Value]]:
        """The next trials. Those of one block know of each other: tpe counts a trial that runs as a
        poor one, so that it proposes different ones."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            study = self._study(trials, self._sampler(len(trials)))
            return [
                dict(study.ask(fixed_distributions=self._dimensions).params) for _ in range(number)
            ]

    def importance(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Shares by PED-ANOVA (Watanabe et al. 2023): how far the values of a key among the best
        tenth of the trials differ from those among all. {} where there are too few trials."""
        done = [trial for trial in trials if trial.objective is not None]
        if len({trial.objective for trial in done}) < STARTUP:
            return {}
        importance = self._optuna.importance
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importance.get_param_importances(
                self._study(done), evaluator=importance.PedAnovaImportanceEvaluator()
            )
        return {key: float(share) for key, share in found.items()}

    def _sampler(self, told: int) -> Any:
        seed = int(np.random.SeedSequence([self._space.seed, told]).generate_state(1)[0])
        samplers = self._optuna.samplers
        if self._name == "random":
            return samplers.RandomSampler(seed=seed)
        if self._name == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=STARTUP)
        return samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )

    def _study(self, trials: Sequence[Trial], sampler: Any = None) -> Any:
        direction = "maximize" if self._space.more else "minimize"
        study = self._optuna.create_study(direction=direction, sampler=sampler)
        states = self._optuna.trial.TrialState
        for trial in trials:
            study.add_trial(
                self._optuna.trial.create_trial(
                    params=dict(trial.values),
                    distributions=self._dimensions,
                    value=trial.objective,
                    state=states.FAIL if trial.objective is None else states.COMPLETE,
                )
            )
        return study


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    """A dimension in Optuna's words."""
    kinds, d = optuna.distributions, dimension
    if d.choices:
        return kinds.CategoricalDistribution(d.choices)
    if d.whole:
        return kinds.IntDistribution(int(d.low), int(d.high), log=d.log, step=int(d.step or 1))
    return kinds.FloatDistribution(d.low, d.high, log=d.log, step=d.step)
