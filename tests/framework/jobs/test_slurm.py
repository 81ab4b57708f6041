"""The Slurm lines of the manual: those of a study compose with hydra-submitit's own keys, and those
of one job over several machines are run by commands that stand in for Slurm's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.composing.compose import compose, parse
from preflab.jobs import gpus
from preflab.runtime import RuntimeConfig

ROOT = Path(__file__).parents[3]
SRUN = """#!/bin/bash
# One task on each of two machines; its options are in front of "bash".
while [ "$1" != bash ]; do echo "srun $1" >> asked; shift; done
for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done
"""
TORCHRUN = """#!/bin/bash
printf '%s\\n' "$*" >> asked
"""
SCONTROL = """#!/bin/bash
printf '%s\\n' first second
"""


def test_the_printed_study_asks_slurm_for_what_it_says() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    page = (ROOT / "sweeps" / "README.md").read_text(encoding="utf8")
    printed = re.findall(r"^    preflab (-m .*=submitit_slurm .*)", page, re.MULTILINE)
    line = parse(shlex.split(*printed))
    assert line.config is not None
    launcher = line.config.hydra.launcher
    jobs: list[Any] = [fake_job(compose(line.jobs[0]).runtime.gpus_per_job)] * len(line.jobs)
    gpus.check_devices(launcher, jobs)
    gpus.check(launcher, jobs)
    assert len(jobs) == 4
    asked = ("partition", "account", "timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node")
    assert [launcher[key] for key in asked] == ["gpu", "my_account", 1440, 64, 8, 1]


def fake_job(number: int) -> SimpleNamespace:
    """As `gpus` looks at it."""
    settings = SimpleNamespace(runtime=RuntimeConfig(gpus_per_job=number))
    return SimpleNamespace(run=SimpleNamespace(settings=settings))


def test_the_printed_file_for_sbatch_starts_torchrun_on_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "framework" / "README.md").read_text(encoding="utf8")
    block = re.search(r"^    #!/bin/bash\n(?:    .*\n)+", page, re.MULTILINE)
    assert block is not None
    (tmp_path / "job.sh").write_text(textwrap.dedent(block[0]))
    for name, text in (("srun", SRUN), ("torchrun", TORCHRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    slurm = {"NNODES": "2", "CPUS_PER_TASK": "64", "JOB_NODELIST": "first,second"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    subprocess.run(["bash", "job.sh"], cwd=tmp_path, check=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "srun --cpus-per-task=64"
    started = [line.partition(" -m preflab ") for line in asked[1:]]
    assert [torchrun for torchrun, _, _ in started] == [
        f"--nnodes 2 --node_rank {rank} --nproc_per_node 8 --master_addr first --master_port 29500"
        for rank in (0, 1)
    ]
    (words,) = {words for _, _, words in started}
    config = compose(words.split())
    assert config.policy.path == "/shared/model"
    assert (config.runtime.sharding, config.checkpoint.sharded) == ("full", True)
