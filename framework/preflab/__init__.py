"""preflab: the InstructGPT experiment bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import preflab.study  # noqa: F401  before the function of that name: it would take its place
from preflab.components import Component, Inspection
from preflab.errors import (
    NumericError,
    PluginError,
    PreflabError,
    StorageError,
    SweepError,
    UserError,
    Waiting,
)
from preflab.hookspecs import hookimpl
from preflab.options import option
from preflab.rewards import reward
from preflab.version import __version__ as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from preflab.session.results import Run, Study

__all__ = [
    "Component",
    "Inspection",
    "NumericError",
    "PluginError",
    "PreflabError",
    "StorageError",
    "SweepError",
    "UserError",
    "Waiting",
    "compose",
    "hookimpl",
    "load",
    "option",
    "reward",
    "run",
    "study",
]


def compose(overrides: Sequence[str] = (), config_name: str = "config") -> DictConfig:
    """The config that a command line composes to, for notebooks:
    ``preflab.compose(["algorithm=ppo", "seed=2"])``."""
    from preflab.composing.compose import compose as composed

    return composed(overrides, config_name)


def run(overrides: str | Sequence[str] = ()) -> Run:
    """Run one experiment as ``preflab OVERRIDES`` does, with the same errors:
    ``preflab.run("algorithm=ppo debug=fast")``. The finished run."""
    from preflab.session.starting import run as started

    return started(overrides)


def load(run: str | Path, device: str | None = None) -> Run:
    """A run by its folder or its name: ``preflab.load("my_run").sample(["Hello"])``. device: of
    its models, in the place of the run's own."""
    from preflab.session.results import load as loaded

    return loaded(run, device)


def study(name: str, overrides: str | Sequence[str] = ()) -> Study:
    """Run a study as ``preflab -cn NAME OVERRIDES`` does: ``preflab.study("ladder")``. The finished
    study."""
    from preflab.session.starting import study as started

    return started(name, overrides)
