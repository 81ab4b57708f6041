"""The real engine in this process: a composed config, its stages, and everything that observers are shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import preflab
from preflab import checkpoints, composition, run
from preflab.plugins import FILES
from preflab.stages import Stages

torch.set_num_threads(1)


@contextmanager
def plugin_file(path: Path) -> Iterator[None]:
    """Within it the plugin of a file is loaded, as with ``--plugin FILE``."""
    before = os.environ.get(FILES)
    os.environ[FILES] = str(path)
    composition.registry.cache_clear()
    try:
        yield
    finally:
        os.environ.pop(FILES) if before is None else os.environ.update({FILES: before})
        composition.registry.cache_clear()


@dataclass
class Seen:
    """What a run showed: the folders of its artifacts by stage; of the algorithm the metrics but for the clock, the prompts
    and texts of each rollout, and the state of each checkpoint."""

    artifacts: dict[str, Path] = field(default_factory=dict)
    metrics: list[dict[str, float]] = field(default_factory=list)
    rollouts: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)

    def observe(self, hook: str, **shown: Any) -> None:
        """Take down what concerns the algorithm."""
        if shown.get("stage") != "algorithm":
            return
        if hook == "preflab_step_finished":
            self.metrics.append({k: v for k, v in shown["metrics"].items() if not k.startswith("time/")})
        elif hook == "preflab_rollout_finished":
            self.rollouts.append((tuple(p.id for p in shown["rollout"].prompts), shown["rollout"].texts))
        elif hook == "preflab_checkpoint_saved":
            self.states.append(checkpoints.load(shown["folder"])[1])


def engine(folder: Path, *overrides: str, observers: bool = False) -> Seen:
    """Make all stages of ``preflab OVERRIDES``, their artifacts in a folder. observers: show it to the plugins' too."""
    given = (*overrides, f"artifacts.dir={folder / 'artifacts'}", "runtime.threads=1")
    plain: Any = OmegaConf.to_container(preflab.compose(given), resolve=True)
    registry = composition.registry()
    seen = Seen()

    def observe(hook: str, **shown: Any) -> None:
        seen.observe(hook, **shown)
        if observers:
            registry.observe(hook, **shown)

    this = run.read(plain, registry)
    for made in Stages(this, observe, {}).make_all():
        seen.artifacts[made.stage.name] = made.artifact.folder
    return seen


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
