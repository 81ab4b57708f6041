"""Samplers of Optuna: they propose the values that a study tries (``study.search``)."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The samplers."""
    from preflab_builtin.optuna.config import GPConfig, RandomConfig, TPEConfig, inspect

    build = "preflab_builtin.optuna.sampling:OptunaSampler"
    configs = {"tpe": TPEConfig, "gp": GPConfig, "random": RandomConfig}
    return [
        Component("sampler", name, config, build=build, inspect=inspect)
        for name, config in configs.items()
    ]
