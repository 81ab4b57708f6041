"""GPUs dealt to the jobs of a multirun, on a machine that is said to have some."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from preflab import UserError, visible
from preflab.console.plan_estimates import refusals
from preflab.jobs import gpus
from preflab.runtime import Device, RuntimeConfig

IN_TURN = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
JOBLIB = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"}
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
SLURM = {
    "_target_": f"{SUBMITIT}.SlurmLauncher",
    "gpus_per_node": None,
    "gpus_per_task": None,
    "gres": None,
}


@pytest.fixture(autouse=True)
def _four_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a machine without the driver's tool, whose temporary files are in the test's folder."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv(visible.VISIBLE, "0,1,2,3")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def job(**runtime: Any) -> Any:
    settings = SimpleNamespace(runtime=RuntimeConfig(**runtime))
    return SimpleNamespace(run=SimpleNamespace(settings=settings))


def checked(launcher: Any, *jobs: Any) -> Any:
    config = None if launcher is None else OmegaConf.create(launcher)
    gpus.check_devices(config, jobs)
    gpus.check(config, jobs)
    return config


@pytest.mark.parametrize(
    ("named", "names"),
    [
        ("0,1,2,3", ["0", "1", "2", "3"]),
        ("2, 5", ["2", "5"]),
        ("GPU-8932f937,MIG-1/2", ["GPU-8932f937", "MIG-1/2"]),
        ("1,-1,0", ["1"]),
        ("", []),
        ("-1", []),
    ],
)
def test_what_is_visible_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, named: str, names: Sequence[str]
) -> None:
    monkeypatch.setenv(visible.VISIBLE, named)
    assert gpus.visible() == names


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch counts them."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize("launcher", [None, IN_TURN, {**JOBLIB, "n_jobs": 2}])
def test_more_processes_than_gpus_are_refused_ahead(launcher: Any) -> None:
    with pytest.raises(UserError, match=r"3 processes .* 2 GPU\(s\), .*runtime\.processes=2 "):
        checked(launcher, job(), job(processes=3))


@pytest.mark.usefixtures("_two_gpus")
def test_as_many_processes_as_gpus_are_taken_and_more_where_no_gpu_is_used() -> None:
    checked(None, job(processes=2))
    checked(None, job(processes=3, device=Device.cpu))
    checked(SLURM, job(processes=3))  # the GPUs of this machine say nothing of its jobs'


def test_a_gpu_that_is_not_here_is_refused_but_not_for_jobs_of_slurm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    checked(SLURM, job(device=Device.cuda))
    checked(None, job(processes=3))
    with pytest.raises(UserError, match=r"torch sees no GPU"):
        checked(None, job(device=Device.cuda))


@pytest.mark.usefixtures("_two_gpus")
def test_a_plan_says_what_a_run_would_be_refused_for() -> None:
    jobs = [job(processes=3), job(processes=3)]
    for one in jobs:
        one.run.all_choices = tuple
    (said,) = refusals(jobs)
    assert said.startswith("A run would be refused: A job of 3 processes on this machine, but ")
    assert refusals(jobs, OmegaConf.create(SLURM)) == []


@pytest.mark.parametrize(
    ("launcher", "runtime", "cure"),
    [
        # 3 jobs at a time with 2 GPUs each are 6 of 4.
        ({**JOBLIB, "n_jobs": 3}, {"gpus_per_job": 2}, r"take 6 .* hydra\.launcher\.n_jobs=2\."),
        (IN_TURN, {"gpus_per_job": 5}, r"Give runtime\.gpus_per_job=4, or make more visible\."),
        (None, {"gpus_per_job": 5}, r"Give runtime\.gpus_per_job=4"),
        (None, {"gpus_per_job": 1, "processes": 2}, r"gpus_per_job=2, or runtime\.processes=1"),
        (None, {"gpus_per_job": 1, "device": Device.cpu}, r"uses no GPU: leave one of them out"),
        (
            {"_target_": f"{SUBMITIT}.LocalLauncher"},
            {"gpus_per_job": 1},
            r"\(LocalLauncher\) .* Give hydra/launcher=joblib hydra\.launcher\.n_jobs=N",
        ),
        ({**SLURM, "gres": "gpu:1"}, {"gpus_per_job": 1}, r"gres is gpu:1: leave one of them out"),
        ({**SLURM, "gpus_per_node": 2}, {"gpus_per_job": 1}, r"gpus_per_node is 2"),
    ],
)
def test_jobs_that_cannot_have_their_gpus_are_refused_with_the_cure(
    launcher: Any, runtime: dict[str, Any], cure: str
) -> None:
    with pytest.raises(UserError, match=cure):
        checked(launcher, *[job(**runtime)] * (1 if launcher is None else 5))


def test_without_a_gpu_none_is_dealt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(visible.VISIBLE, "")
    with pytest.raises(UserError, match=r"0 GPU\(s\) .*Leave runtime\.gpus_per_job out"):
        checked(None, job(gpus_per_job=1))


def test_names_of_no_gpu_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a driver, and one with a GPU less than are named."""
    for there, cure in ((0, "Leave runtime.gpus_per_job out"), (3, "Give runtime.gpus_per_job=3")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: there)
        said = rf"{there} GPU\(s\) .*=0,1,2,3, of which the driver sees {there}\)\. {cure}"
        with pytest.raises(UserError, match=said):
            checked(None, job(gpus_per_job=4))
    checked(None, job(gpus_per_job=3))


def test_under_torchrun_they_are_dealt_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="torchrun take a GPU each"):
        checked(None, job(gpus_per_job=1))


def test_what_fits_is_taken() -> None:
    checked({**JOBLIB, "n_jobs": 2}, job(gpus_per_job=2, processes=2))
    checked(IN_TURN, job(gpus_per_job=4), job())
    checked({**JOBLIB, "n_jobs": 99}, job())
    # No more jobs run at a time than there are: two here.
    checked({**JOBLIB, "n_jobs": 99}, *[job(gpus_per_job=2)] * 2)
    checked({**JOBLIB, "n_jobs": -1}, job(gpus_per_job=4))


def test_slurm_is_asked_for_them() -> None:
    for given in (SLURM, {**SLURM, "gpus_per_node": 2}):
        assert checked(given, job(gpus_per_job=2)).gpus_per_node == 2
    with pytest.raises(UserError, match=r"the values 1, 2, .* give a command for each"):
        checked(SLURM, job(gpus_per_job=1), job(gpus_per_job=2))


def _holds(number: int, end: Connection) -> None:
    """A job: says what it sees, and ends when it is told to."""
    with gpus.own(job(gpus_per_job=number)):
        end.send(os.environ[visible.VISIBLE])
        end.recv()


def _begin(number: int) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_holds, args=(number, there))
    process.start()
    return process, here


def test_no_two_jobs_have_one_gpu_and_each_gives_its_own_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of 4 GPUs two jobs, each of a command of its own, take 2 each, and a third one waits and says
    for whom. One is killed: the third has what it had."""
    (first, one), (_, two) = (_begin(2) for _ in range(2))
    seen = [one.recv(), two.recv()]
    assert sorted(",".join(seen).split(",")) == ["0", "1", "2", "3"]
    third, three = _begin(2)
    assert not three.poll(0.5)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    assert three.poll(20)
    assert three.recv() == seen[0]
    said = capfd.readouterr().err
    assert f"GPU {seen[0][0]} is taken by process {first.pid} in {Path.cwd()}" in said
    assert "waits until 2 of 4 are free" in said
    for end in (two, three):
        end.send("end")
    third.join(20)
    with gpus.own(job(gpus_per_job=4)):
        assert os.environ[visible.VISIBLE] == "0,1,2,3"


def test_a_single_run_takes_the_first_that_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(visible.VISIBLE, "3,2,1")
    other, end = _begin(1)
    assert end.recv() == "3"
    with gpus.own(job(gpus_per_job=2)):
        assert os.environ[visible.VISIBLE] == "2,1"
    assert os.environ[visible.VISIBLE] == "3,2,1"
    end.send("end")
    other.join(20)


def test_a_gpu_is_the_same_by_its_number_and_by_its_uuid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The driver's tool tells which is which; a part of a GPU (MIG) it does not know."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint('0, GPU-aa11')\nprint('1, GPU-bb22')\n")
    tool.chmod(0o700)
    assert gpus.identities(["1", "GPU-aa", "MIG-1/2"]) == ["GPU-bb22", "GPU-aa11", "MIG-1/2"]
    monkeypatch.setenv(visible.VISIBLE, "0,1")
    other, end = _begin(1)
    assert end.recv() == "0"
    monkeypatch.setenv(visible.VISIBLE, "GPU-aa,GPU-bb")
    with gpus.own(job(gpus_per_job=1)):
        assert os.environ[visible.VISIBLE] == "GPU-bb"
    end.send("end")
    other.join(20)


def test_the_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"preflab-gpus-{me + 1}"
    folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(UserError, match=r"belongs to another user.*TMPDIR"):
        gpus.own(job(gpus_per_job=1)).__enter__()


def test_a_job_that_asks_for_none_sees_all_and_so_does_one_of_slurm(tmp_path: Path) -> None:
    for asks, dealt in ((None, False), (2, True)):
        with gpus.own(job(gpus_per_job=asks), dealt):
            assert os.environ[visible.VISIBLE] == "0,1,2,3"
    assert not list(tmp_path.iterdir())
