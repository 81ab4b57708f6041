"""The jobs of a command line, each composed once and checked before the first of them starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from preflab.composing.commandline import CommandLine
from preflab.composing.compose import compose_all, resolved
from preflab.composing.search_path import registry
from preflab.composing.untrusted import refuse_code_in_config
from preflab.errors import UserError
from preflab.planning.reading import Known, read
from preflab.planning.run import Run


@dataclass(frozen=True)
class Job:
    """One job: its checked run, and what it came from. composed: the config with Hydra's own part;
    config: the rest of it as plain values."""

    run: Run
    config: Mapping[str, Any]
    config_name: str
    overrides: Sequence[str]
    composed: DictConfig | None = None


def job_of(composed: DictConfig, known: Known | None = None) -> Job:
    """The job of a composed config (Hydra's own part included), checked."""
    plain = resolved(composed)
    overrides = [str(word) for word in composed.hydra.overrides.task]
    name = str(composed.hydra.job.config_name)
    return Job(read(plain, registry(), known), plain, name, overrides, composed)


def check_jobs(line: CommandLine) -> list[Job]:
    """Compose every job, build its typed objects and cross-check them; the first thing that is
    wrong stops all of them."""
    jobs: list[Job] = []
    known: Known = {}
    alone = line.config is not None and not line.multirun
    configs = [line.config] if alone else compose_all(line.jobs, line.config_name, line.config_dir)
    for config in configs:
        assert config is not None
        refuse_code_in_config(config)
        try:
            jobs.append(job_of(config, known))
        except UserError as error:
            words = " ".join(config.hydra.overrides.task)
            where = f"\n(in the job {words})" if len(line.jobs) > 1 else ""
            raise UserError(f"{error}{where}") from None
    return jobs
