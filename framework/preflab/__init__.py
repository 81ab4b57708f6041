"""preflab: the InstructGPT experiment bench."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflab.components import Component, Inspection
from preflab.errors import (
    NumericError,
    PluginError,
    PreflabError,
    StorageError,
    UserError,
    Waiting,
)
from preflab.hookspecs import hookimpl
from preflab.options import option
from preflab.rewards import reward
from preflab.version import __version__ as __version__

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = [
    "Component",
    "Inspection",
    "NumericError",
    "PluginError",
    "PreflabError",
    "StorageError",
    "UserError",
    "Waiting",
    "compose",
    "hookimpl",
    "option",
    "reward",
]


def compose(overrides: Sequence[str] = (), config_name: str = "config") -> DictConfig:
    """The config that a command line composes to, for notebooks:
    ``preflab.compose(["algorithm=ppo", "seed=2"])``."""
    from preflab.composing.compose import compose as composed

    return composed(overrides, config_name)
