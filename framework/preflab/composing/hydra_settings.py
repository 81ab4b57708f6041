"""Hydra's own settings that a run cannot follow: refused with the way that leads to the same
end."""

from __future__ import annotations

from omegaconf import DictConfig

from preflab.errors import UserError


def refuse_settings(config: DictConfig, multirun: bool) -> None:
    """`UserError` for a setting of Hydra's own part that would be ignored, or that would lose
    results."""
    if config.hydra.job.get("chdir"):
        raise UserError(
            "hydra.job.chdir=true: paths in the config mean the folder in which the command is "
            "given, and stay so. Leave it out; hydra.run.dir=FOLDER says where results go."
        )
    if config.hydra.output_subdir is None:
        raise UserError(
            "hydra.output_subdir=null: the report reads a run's config there. Give it a name, or "
            "leave it out."
        )
    lost = "run.dir" if multirun else "sweep."
    used = "hydra.sweep.dir and hydra.sweep.subdir" if multirun else "hydra.run.dir"
    for word in config.hydra.overrides.hydra:
        if str(word).lstrip("+").startswith(f"hydra.{lost}"):
            kind = "a multirun" if multirun else "a single run"
            raise UserError(f"{word}: the results of {kind} go where {used} says: give that.")
