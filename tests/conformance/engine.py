"""The real engine in this process: a composed config, its stages, and everything that observers
are shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from preflab.composing import search_path
from preflab.composing.compose import compose, resolved
from preflab.door.discovery import FILES
from preflab.engine.stages import Stages
from preflab.kinds import STAGES
from preflab.planning.reading import read
from preflab.planning.run import Run
from preflab.storage import checkpoints
from preflab.storage.artifacts import LAST

torch.set_num_threads(1)


@contextmanager
def plugin_file(path: Path) -> Iterator[None]:
    """Within it the plugin of a file is loaded, as with ``--plugin FILE``."""
    before = os.environ.get(FILES)
    os.environ[FILES] = str(path)
    search_path.registry.cache_clear()
    try:
        yield
    finally:
        os.environ.pop(FILES) if before is None else os.environ.update({FILES: before})
        search_path.registry.cache_clear()


@dataclass
class Seen:
    """What a run showed: the folders of its artifacts by stage; of the algorithm the metrics but
    for the clock, the prompts and texts of each rollout, the state of each checkpoint, and the
    weights that it left."""

    artifacts: dict[str, Path] = field(default_factory=dict)
    metrics: list[dict[str, float]] = field(default_factory=list)
    rollouts: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, bytes] = field(default_factory=dict)

    def observe(self, hook: str, **shown: Any) -> None:
        """Take down what concerns the algorithm."""
        if shown.get("stage") != "algorithm":
            return
        if hook == "preflab_step_finished":
            self.metrics.append(
                {k: v for k, v in shown["metrics"].items() if not k.startswith("time/")}
            )
        elif hook == "preflab_rollout_finished":
            self.rollouts.append(
                (tuple(p.id for p in shown["rollout"].prompts), shown["rollout"].texts)
            )
        elif hook == "preflab_checkpoint_saved":
            self.states.append(checkpoints.load(shown["folder"])[1])


def composed(folder: Path, *overrides: str) -> DictConfig:
    """The config of ``preflab OVERRIDES`` with its artifacts in a folder, Hydra's part included."""
    own = (f"artifacts.dir={folder / 'artifacts'}", "runtime.threads=1")
    return compose([*overrides, *own], with_hydra=True)


def run_of(folder: Path, *overrides: str) -> Run:
    """The run that ``preflab OVERRIDES`` is."""
    return read(resolved(composed(folder, *overrides)), search_path.registry())


def engine(folder: Path, *overrides: str, until: str = "evaluation") -> Seen:
    """Make the stages of ``preflab OVERRIDES`` up to one of them, observed by this test alone."""
    this = run_of(folder, *overrides)
    names = [spec.name for spec in STAGES]
    this = replace(
        this, stages=tuple(s for s in this.stages if names.index(s.name) <= names.index(until))
    )
    seen = Seen()
    for made in Stages(this, seen.observe, {}).make_all():
        seen.artifacts[made.stage.name] = made.artifact.folder
    if "algorithm" in seen.artifacts:
        folder = seen.artifacts["algorithm"]
        seen.models = {
            str(p.relative_to(folder)): p.read_bytes()
            for p in folder.rglob("*.safetensors")
            if LAST not in p.parts
        }
    return seen


def forget(folder: Path, stage: str) -> None:
    """Remove a stage's artifacts, so that it is made again from the same upstream."""
    for artifact in (folder / "artifacts").glob(f"{stage}-*"):
        if artifact.is_dir():
            shutil.rmtree(artifact)


def tensors(state: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a checkpoint's state, by its place."""
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from tensors(value, f"{path}/{key}")
    elif isinstance(state, Sequence) and not isinstance(state, str):
        for i, value in enumerate(state):
            yield from tensors(value, f"{path}/{i}")
