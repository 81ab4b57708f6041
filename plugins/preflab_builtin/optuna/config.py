"""The samplers by name."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import Inspection, option
from preflab.searching import require


@dataclass
class TPEConfig:
    """Tree-structured Parzen estimator (Bergstra et al. 2011), over all keys together: values that
    are more frequent among good trials than among others. The first 10 trials are random."""

    name: str = option("tpe", "component")


@dataclass
class GPConfig:
    """A Gaussian process, and the greatest expected improvement over the best trial: fewer trials
    than tpe for few keys, and seconds for each proposal. The first 10 trials are random."""

    name: str = option("gp", "component")


@dataclass
class RandomConfig:
    """Independent of all results: what the other samplers have to beat."""

    name: str = option("random", "component")


def inspect(config: TPEConfig | GPConfig | RandomConfig) -> Inspection:
    """`UserError` if Optuna is not installed."""
    require(config.name, "optuna", "optuna")
    return Inspection()
