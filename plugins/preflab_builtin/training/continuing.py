"""Training that goes on where another run's ended: found and compared before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.components import Inspection
from preflab.errors import UserError
from preflab.optimization import OptimizerConfig, Schedule
from preflab.options import canonical
from preflab.storage.artifacts import LAST, MANIFEST, Artifact, opened
from preflab.storage.run_folder import stage_folder
from preflab_builtin.training.config import TrainedConfig

FIXED = ("name", "loss", "batch", "samples", "max_tokens")
"""Options that say what a step is: steps that are counted on must be of the same kind."""
FREE = ("watch", "keep", "seed")
"""Options that may differ without a word, as the length may."""


@dataclass(frozen=True)
class Earlier:
    """The artifact whose training goes on. steps: how many it has done; config: what it was made
    with, as plain values."""

    artifact: Artifact
    steps: int
    config: Mapping[str, Any]


def earlier(config: TrainedConfig) -> Earlier | None:
    """The training that is to go on; None if the config names none. `UserError` with the cure if
    there is none in the folder, or no state."""
    if not config.continues:
        return None
    key, given = f"algorithm.continues={config.continues}", Path(config.continues).expanduser()
    folder = stage_folder(given, "algorithm") or given
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{key}: that is neither the folder of a run that has finished its algorithm nor such "
            f"an artifact (looked from {Path.cwd()}). A run that was killed goes on by the same "
            "command, without this option."
        )
    artifact = opened(folder)
    states = sorted((folder / LAST).glob("step-*"))
    if artifact.stage != "algorithm" or not states:
        raise UserError(
            f"{key}: {folder} keeps no state to train on from. A run keeps it if it has at most "
            "checkpoint.state_mb MB (256 unless it is set). To make this stage again with it, "
            f"remove {folder}, then: preflab rerun RUN checkpoint.state_mb=null"
        )
    steps = int(states[-1].name.removeprefix("step-"))
    made = artifact.manifest["recipe"]["component"]["config"]
    return Earlier(artifact, steps, made)


def inspect(config: TrainedConfig) -> Inspection:
    """The digest of what is trained on from. Notices: other values than it was made with."""
    found = earlier(config)
    if found is None:
        return Inspection()
    free = (*FREE, config.length)
    other = {
        name: values
        for name, values in _differences(found.config, canonical(config))
        if name.partition(".")[0] not in free
    }
    for name in (n for n in FIXED if n in other):
        then, now = other[name]
        raise UserError(
            f"algorithm.{name} is {now}, and algorithm.continues={config.continues} was made with "
            f"{then}: its steps cannot be counted on. {_cure(name, then)}"
        )
    content = f"{found.artifact.recipe_id} {found.artifact.content} after {found.steps} steps"
    changed = [f"{name} ({then} until now, then {now})" for name, (then, now) in other.items()]
    said = (
        f"algorithm.continues: {found.steps} steps of {config.continues} count. Other than there: "
        f"{', '.join(changed)}."
    )
    notices = [said] if changed else []
    return Inspection(content=content, notices=notices, goes_on=str(found.artifact.folder))


def _cure(name: str, then: Any) -> str:
    """How to have an option as it was. A preset may have given the algorithm another name."""
    if name == "name":
        return f"Choose the algorithm that it was made with (of the kind '{then}')."
    return f"Give algorithm.{name}={then}."


def begins_from(config: TrainedConfig, total_steps: int) -> Path | None:
    """The artifact that a procedure begins from (`preflab.interfaces.TrainsOn`). `UserError` if
    there is nothing to do."""
    found = earlier(config)
    if found is None:
        return None
    if found.steps >= total_steps:
        raise UserError(
            f"algorithm.continues={config.continues} has done {found.steps} steps, and this run "
            f"would end after {total_steps}: algorithm.{config.length} counts both together, so "
            "give more."
        )
    return found.artifact.folder


def preflight(config: TrainedConfig, optimizer: OptimizerConfig) -> Iterator[str]:
    """What a schedule means for training that goes on; `UserError` if it is not longer."""
    found = earlier(config)
    if found is None:
        return
    then, now = found.config[config.length], getattr(config, config.length)
    if now <= then:
        raise UserError(
            f"algorithm.{config.length} is {now}, and algorithm.continues={config.continues} had "
            f"{then}: it counts both together, so give more."
        )
    if optimizer.schedule is not Schedule.constant:
        yield (
            f"The learning rate's schedule ({optimizer.schedule.value}) is a function of the whole "
            "length, of which the steps before are a part: the learning rate may rise again. With "
            "constant in both runs, two halves equal one whole."
        )


def _differences(
    then: Mapping[str, Any], now: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(name, both values) of options that differ."""
    for name in sorted({*then, *now}):
        a, b, path = then.get(name), now.get(name), f"{above}{name}"
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, f"{path}.")
        elif a != b:
            yield path, (a, b)
