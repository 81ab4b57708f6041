"""Starting the checked jobs of a command line, with what Hydra does for a job: its folder,
``.hydra/`` and logging."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.core.utils import run_job as hydra_run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from preflab.composing.commandline import CommandLine
from preflab.composing.search_path import hydra_initialised
from preflab.jobs.job import add_missing_lines, run_job, task
from preflab.planning.jobs import Job
from preflab.signals import StopRequest
from preflab.storage.run_folder import new_folder

RUN_FOLDER = "PREFLAB_RUN_FOLDER"
"""Environment variable from which conf/config.yaml takes the folder of a run or multirun."""
IN_TURN = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""Hydra's default launcher: one job after the other. Its part is done here, with the checked jobs.
"""


def start(line: CommandLine, jobs: Sequence[Job]) -> Path:
    """Run all jobs; the folder of the run or multirun. Raises what a single run raises; the
    failures of a multirun are in its ledger."""
    folder = new_folder(Path("runs") / line.config_name)
    os.environ[RUN_FOLDER] = str(folder)
    with hydra_initialised(line.config_dir) as loader:
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        if not line.multirun:
            _run(jobs[0], context, {"mode": RunMode.RUN}, "hydra.run.dir", None)
            return folder
        try:
            with StopRequest(at_once=True).listening():
                _run_all(line, jobs, context, folder)
        finally:
            add_missing_lines(folder, [job.overrides for job in jobs])
    return folder


def _run_all(line: CommandLine, jobs: Sequence[Job], context: HydraContext, folder: Path) -> None:
    assert line.config is not None
    config = line.config
    with flag_override(config.hydra, "readonly", False):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.overrides.hydra.append("hydra.mode=MULTIRUN")
    OmegaConf.save(config, folder / "multirun.yaml")
    _import_once()
    if config.hydra.launcher.get("_target_") == IN_TURN:
        for number, job in enumerate(jobs):
            facts = {"mode": RunMode.MULTIRUN, "job.id": str(number), "job.num": number}
            _run(job, context, facts, "hydra.sweep.dir", "hydra.sweep.subdir")
        return
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    words = [list(job.overrides) for job in jobs]
    for returned in launcher.launch(words, initial_job_idx=0):
        returned.return_value  # noqa: B018  raises what a worker raised outside of its job


def _run(
    job: Job,
    context: HydraContext,
    facts: dict[str, Any],
    folder_key: str,
    subfolder_key: str | None,
) -> None:
    """One job in this process. facts: values for Hydra's own part of the config."""
    assert job.composed is not None
    errors: list[Exception] = []

    def work(config: DictConfig) -> int:
        try:
            return run_job(job)
        except Exception as error:
            errors.append(error)  # Hydra would print a line of its own
            return 1

    with flag_override(job.composed.hydra, "readonly", False):
        for key, value in facts.items():
            OmegaConf.update(job.composed.hydra, key, value)
    hydra_run_job(work, job.composed, folder_key, subfolder_key, context)
    if errors:
        raise errors[0]


def _import_once() -> None:
    """Import the heavy libraries before jobs are forked, so that each job does not pay for it;
    nothing is computed."""
    for name in ("torch", "accelerate", "transformers.models.llama.modeling_llama"):
        importlib.import_module(name)
