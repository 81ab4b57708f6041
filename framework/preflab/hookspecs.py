"""Every hook of preflab. A plugin is a module (an entry point in the group ``preflab``) with
functions marked by `hookimpl`. A function may take fewer arguments than its specification, and
every hook is optional.

    from preflab import Component, hookimpl
    from my_package.config import MyConfig

    @hookimpl
    def preflab_components():
        build = "my_package.training:MyAlgorithm"     # imported when a run chooses it
        return [Component("algorithm", "mine", MyConfig, procedure=build)]

Hooks register and observe. What can change a number is a component that the config names.

There are two ways to observe runs. A function of the module with the name of an observer hook is
the short form. An observer that keeps something (an open file, a progress bar) is an object: the
plugin returns it from `preflab_observers`, and it lives for one run. Its methods are marked by
`hookimpl` and have the names of observer hooks.
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
"""A plugin may state ``PREFLAB_API = 1``. The loader refuses another number and says which
preflab to install."""

OBSERVER_HOOKS = (
    "preflab_run_started",
    "preflab_stage_started",
    "preflab_stage_reused",
    "preflab_step_finished",
    "preflab_rollout_finished",
    "preflab_checkpoint_saved",
    "preflab_stage_finished",
    "preflab_run_finished",
    "preflab_run_failed",
)
"""What an observer can be called for, in the order of a run. Observers are called in every run
for which they are installed, without a line in a config, and so may change no number. One that
raises is switched off for the rest of the run, with a warning that names its plugin."""

hookspec = pluggy.HookspecMarker("preflab")
hookimpl = pluggy.HookimplMarker("preflab")


@hookspec
def preflab_components() -> Sequence[Component]:
    """Components that this plugin provides. Called once at start-up: import neither torch nor
    transformers."""
    raise NotImplementedError


@hookspec
def preflab_stages() -> Sequence[StageSpec]:
    """Stages in addition to preflab's own (see `preflab.kinds`), each made after the stage that it
    names. A run makes one if its config chooses a component for it: ``preflab +GROUP=NAME``. Called
    once at start-up."""
    raise NotImplementedError


@hookspec
def preflab_config_packages() -> Sequence[str]:
    """Importable packages with YAML presets in folders named after config groups:
    ``["my_package.conf"]``. Called once at start-up."""
    raise NotImplementedError


@hookspec
def preflab_commands() -> Sequence[Callable[[list[str]], int]]:
    """Commands in addition to preflab's own. ``preflab NAME WORDS...`` calls the function of that
    name (a dash for each underscore) with the words, and exits with the code that it returns. Its
    docstring begins with its usage. Called once at start-up."""
    raise NotImplementedError


@hookspec
def preflab_observers(
    folder: Path, config: Mapping[str, Any], stages: Sequence[str]
) -> Sequence[object]:
    """Observers of one run. They are objects whose methods are named like the hooks below and
    marked by `hookimpl`. Called once at the start of a run, with the arguments of
    `preflab_run_started`; when the run ends, the objects are dropped."""
    raise NotImplementedError


@hookspec
def preflab_run_started(folder: Path, config: Mapping[str, Any], stages: Sequence[str]) -> None:
    """A run begins. folder: its run folder; config: the composed config as plain values; stages:
    their names."""


@hookspec
def preflab_stage_started(
    stage: str, total_steps: int, history: Sequence[Mapping[str, Any]]
) -> None:
    """A stage begins or resumes. history: the metric rows of the steps that were done before a kill
    ([] at first)."""


@hookspec
def preflab_stage_reused(stage: str, artifact: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """A stage is not computed, because its artifact exists. history: the metric rows that it was
    made with."""


@hookspec
def preflab_step_finished(stage: str, step: int, metrics: Mapping[str, float]) -> None:
    """A step is done. step: 0-based; metrics: numbers by name."""


@hookspec
def preflab_rollout_finished(
    stage: str, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
) -> None:
    """A batch was sampled. values: one number per row, as in {"score": [...], "kl": [...]}."""


@hookspec
def preflab_checkpoint_saved(stage: str, step: int, folder: Path) -> None:
    """A checkpoint is on the disk. step: steps done."""


@hookspec
def preflab_stage_finished(stage: str, artifact: Path, seconds: float) -> None:
    """A stage's artifact is complete. seconds: wall clock of this process (not of processes that
    were killed before)."""


@hookspec
def preflab_run_finished(folder: Path, summary: Mapping[str, Any]) -> None:
    """The run is complete. summary: the content of its summary.json."""


@hookspec
def preflab_run_failed(folder: Path, error: BaseException) -> None:
    """The run ends with an error, was interrupted, or waits (the error is a `Waiting`)."""


@hookspec
def preflab_report(folders: Sequence[Path], out: Path) -> str:
    """Compare the runs in ``folders`` (run folders or multirun folders), write the page ``out``,
    return a text table. Plugins are asked in the order of loading, the built-in report first,
    until one returns a text: yours is asked if the built-in one is left out (``--no-plugin
    report``) or fails, and is shown under your name."""
    raise NotImplementedError


@hookspec
def preflab_verdicts(folders: Sequence[Path]) -> Mapping[str, str]:
    """Decide the claims of the study whose run folders these are; a `Verdict` of `preflab.study`
    as text for each claim by its name. A study that adds seeds until its claims are decided asks
    after each block of seeds. Plugins are asked in the order of `preflab_report`, until one
    returns a mapping."""
    raise NotImplementedError


@hookspec
def preflab_seeds_needed(folders: Sequence[Path]) -> Mapping[str, int | None]:
    """How many seeds would decide each undecided claim of the study whose run folders these are,
    with a power of 80 %, by the claim's name; None: no number is known, or none does. A study that
    has all the seeds that it may have asks it. Plugins are asked as for `preflab_verdicts`."""
    raise NotImplementedError
