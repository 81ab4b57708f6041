"""Every hook of preflab. A plugin is a module (an entry point in the group ``preflab``) with functions marked by
`hookimpl`; a function may take fewer arguments than its specification, and every hook is optional.

    from preflab import Component, hookimpl

    @hookimpl
    def preflab_components():
        from my_package.config import MyConfig
        return [Component(kind="algorithm", name="mine", config_class=MyConfig, procedure=_procedure)]

    def _procedure(config, context):
        from my_package.training import MyAlgorithm      # torch is imported here, not at registration
        return MyAlgorithm(config, context)

Hooks register and observe. What can change a number is a component that the config names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from preflab.components import Component
    from preflab.kinds import StageSpec
    from preflab.records import Rollout

API_VERSION = 1
"""A plugin may state ``PREFLAB_API = 1``; the loader refuses another number and says which preflab to install."""

OBSERVER_HOOKS = (
    *(
        "preflab_run_started",
        "preflab_stage_started",
        "preflab_stage_reused",
        "preflab_step_finished",
    ),
    *("preflab_rollout_finished", "preflab_checkpoint_saved", "preflab_stage_finished"),
    *("preflab_run_finished", "preflab_run_failed"),
)
"""A plugin with one of these is an observer. It is called whenever it is installed, needs no line in a config, and so may
change no number."""

hookspec = pluggy.HookspecMarker("preflab")
hookimpl = pluggy.HookimplMarker("preflab")


@hookspec
def preflab_components() -> Sequence[Component]:
    """Components that this plugin provides. Called once at start-up: import neither torch nor transformers."""
    raise NotImplementedError


@hookspec
def preflab_stages() -> Sequence[StageSpec]:
    """Stages in addition to preflab's own (see `preflab.kinds`), each made after the stage that it
    names. A run makes one if its config chooses a component for it: ``preflab +GROUP=NAME``. Called
    once at start-up."""
    raise NotImplementedError


@hookspec
def preflab_config_packages() -> Sequence[str]:
    """Importable packages with YAML presets in folders named after config groups: ``["my_package.conf"]``."""
    raise NotImplementedError


@hookspec
def preflab_commands() -> Sequence[Callable[[list[str]], int]]:
    """Commands beside preflab's own. ``preflab NAME WORDS...`` calls the function of that name (a dash for each underscore)
    with the words and exits with what it returns; its docstring begins with how it is called. Called once at start-up."""
    raise NotImplementedError


@hookspec
def preflab_run_started(folder: Path, config: Mapping[str, Any], stages: Sequence[str]) -> None:
    """A run begins. folder: its run folder; config: the composed config as plain values; stages: their names."""


@hookspec
def preflab_stage_started(
    stage: str, total_steps: int, history: Sequence[Mapping[str, Any]]
) -> None:
    """A stage begins or goes on. history: the metric rows of the steps that were done before a kill ([] at first)."""


@hookspec
def preflab_stage_reused(stage: str, artifact: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """A stage was not computed, because its artifact exists. history: the metric rows it was made with."""


@hookspec
def preflab_step_finished(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    """A step is done. step: 0-based; metrics: numbers by name."""


@hookspec
def preflab_rollout_finished(
    stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
) -> None:
    """A batch was sampled. values: numbers a row, for example {"score": [...], "kl": [...]}."""


@hookspec
def preflab_checkpoint_saved(stage: str, step: int, folder: Path) -> None:
    """A checkpoint is on the disk. step: steps done."""


@hookspec
def preflab_stage_finished(stage: str, artifact: Path, seconds: float) -> None:
    """A stage's artifact is complete. seconds: wall clock of this process (not of killed ones before)."""


@hookspec
def preflab_run_finished(folder: Path, summary: Mapping[str, Any]) -> None:
    """The run is complete. summary: what stands in its summary.json."""


@hookspec
def preflab_run_failed(folder: Path, error: BaseException) -> None:
    """The run ends with an error, or was interrupted."""


@hookspec(firstresult=True)
def preflab_report(folders: Sequence[Path], out: Path) -> str:
    """Compare the runs in ``folders`` (run folders or multirun folders), write the page ``out``, return a text table.
    The built-in report comes first: yours is asked if that one is left out (``--no-plugin report``) or fails, and is shown
    as yours."""
    raise NotImplementedError
