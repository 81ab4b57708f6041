"""Several processes per job, and parallel jobs, through the real engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from end_to_end.runs import BROKEN, UNSEEN, digests, ended, preflab, start
from preflab.storage.artifacts import read_rows
from preflab.storage.run_folder import is_running
from support import represented_by

FAST = ("debug=fast", "artifacts.dir=artifacts", "checkpoint.every_steps=1", "runtime.threads=1")
# Every optimizer step is 8 rows or windows, and so are the rows that centre the reward: two
# micro-batches of 4, in one process or in two.
# 4 rankings of 2 answers are 8 rows.
HALVES = (
    *(
        "data.documents=600",
        "data.prompts=200",
        "data.demonstrations=60",
        "evaluation=samples",
        "rollout.max_tokens=8",
    ),
    *(
        "pretrain.batch=8",
        "pretrain.steps=3",
        "sft.batch=8",
        "sft.steps=3",
        "sft.mix_windows=8",
        "samples.prompts=12",
    ),
    *(
        "samples.k=2",
        "samples.validation_prompts=4",
        "reward_model.batch=4",
        "reward_model.centre_on=8",
        "algorithm.episodes=16",
        "algorithm.batch=8",
    ),
    *("algorithm.minibatch=8", "algorithm.terms.ptx.ratio=1", "runtime.micro_batch=4"),
    *("checkpoint.every_steps=1", "runtime.threads=1"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two processes made a run."""
    folder = tmp_path_factory.mktemp("two")
    assert preflab(folder, *HALVES, "runtime.processes=2") == 0, (folder / "log.txt").read_text()[
        -3000:
    ]
    return folder


def test_two_processes_leave_the_files_of_one_run(finished: Path) -> None:
    (run,) = finished.glob("runs/config/*")
    for name in ("manifest.json", "summary.json", "metrics.jsonl", "samples.jsonl", "report.html"):
        assert (run / name).is_file(), name
    steps = [(row["stage"], row["step"]) for row in read_rows(run / "metrics.jsonl")]
    assert len(steps) == len(set(steps))  # process 0 alone writes: one row per step


def test_two_processes_give_the_bits_of_one_with_accumulation_2(
    finished: Path, tmp_path: Path
) -> None:
    assert preflab(tmp_path, *UNSEEN, *HALVES) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    # Weights, rankings and samples; a loss over validation text adds other parts in another order.
    one, two = (
        {k: v for k, v in digests(f).items() if "metrics" not in k} for f in (tmp_path, finished)
    )
    assert len([name for name in one if name.endswith("model.safetensors")]) >= 4
    assert one == two
    # The work of both processes counts; what rows of one batch share is read once by each.
    alone, together = (
        json.loads(next(f.glob("artifacts/**/algorithm-*/artifact.json")).read_text())["cost"]
        for f in (tmp_path, finished)
    )
    assert alone["tokens"] <= together["tokens"] < 1.3 * alone["tokens"]
    assert alone["flops"] <= together["flops"] < 1.3 * alone["flops"]


def test_one_process_reuses_what_two_made(finished: Path) -> None:
    before = digests(finished)
    assert preflab(finished, *UNSEEN, *HALVES) == 0
    newest = max(finished.glob("runs/config/*"))
    assert json.loads((newest / "summary.json").read_text())["computed"] == []
    assert "was made with processes 2 (now 1)" in (finished / "log.txt").read_text()
    assert digests(finished) == before


def _start(folder: Path, *words: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with (folder / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "preflab", *words]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


@pytest.mark.reliability
def test_sigterm_reaches_all_processes_and_the_run_resumes(finished: Path, tmp_path: Path) -> None:
    words = (*HALVES, "runtime.processes=2")
    running = _start(tmp_path, *words)
    while running.poll() is None and not list(
        tmp_path.glob("artifacts/sft-*.partial/.state/step-*")
    ):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    assert running.wait(120) == 128 + signal.SIGTERM, (tmp_path / "log.txt").read_text()[-3000:]
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert digests(tmp_path) == digests(finished)


@pytest.fixture(scope="module")
def one_after_another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequential")
    assert preflab(folder, "-m", "algorithm=ppo,ppo_ptx", *UNSEEN, *FAST) == 0
    return folder


LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"),
}


@pytest.mark.parametrize("launcher", represented_by(["joblib"], LAUNCHERS))
def test_parallel_jobs_share_what_they_have_in_common(
    launcher: str, one_after_another: Path, tmp_path: Path
) -> None:
    sweep = ("-m", *LAUNCHERS[launcher], "algorithm=ppo,ppo_ptx", *UNSEEN, *FAST)
    assert _start(tmp_path, *sweep).wait(200) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    stages = sorted(
        p.name.rsplit("-", 1)[0] for p in (tmp_path / "artifacts").iterdir() if p.is_dir()
    )
    assert stages == sorted(
        [
            "pretrain",
            "sft",
            "samples",
            "comparisons",
            "reward_model",
            *["algorithm", "evaluation"] * 2,
        ]
    )
    (run,) = tmp_path.glob("runs/config/*")
    assert sorted(row["exit_code"] for row in read_rows(run / "ledger.jsonl")) == [0, 0]
    assert digests(tmp_path) == digests(one_after_another)


@pytest.mark.reliability
def test_parallel_jobs_finish_next_to_one_that_fails(
    one_after_another: Path, tmp_path: Path
) -> None:
    shutil.copytree(one_after_another / "artifacts", tmp_path / "artifacts")
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    # Two at a time: one job runs next to the one that fails, one begins after it.
    command = (
        "--plugin",
        str(plugin),
        "-m",
        *LAUNCHERS["joblib"],
        "reward_model=broken,kwise,length",
        "evaluation=none",
        *FAST,
    )
    assert _start(tmp_path, *command, BROKEN="1").wait(200) == 1, (
        tmp_path / "log.txt"
    ).read_text()[-3000:]
    (first,) = tmp_path.glob("runs/config/*")
    codes = {row["job"]: row["exit_code"] for row in read_rows(first / "ledger.jsonl")}
    assert codes == {0: 3, 1: 0, 2: 0}
    assert (
        "1 job(s) failed; give the same command again to run only them"
        in (tmp_path / "log.txt").read_text()
    )
    assert "1 job without a result" in (first / "report.html").read_text()
    assert _start(tmp_path, *command).wait(200) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    second = max(tmp_path.glob("runs/config/*"))
    assert second != first
    computed = {
        job: json.loads((second / str(job) / "summary.json").read_text())["computed"]
        for job in range(3)
    }
    assert computed == {0: ["algorithm"], 1: [], 2: []}


@pytest.mark.reliability
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_no_job_of_a_killed_multirun_goes_on(launcher: str, tmp_path: Path) -> None:
    """SIGKILL leaves the multirun no time to tell its workers."""
    words = ("-m", *LAUNCHERS[launcher], "seed=1,2", "algorithm=none", *FAST)
    child = _start(tmp_path, *words, "pretrain.steps=100000", "checkpoint.every_seconds=1")
    limit = time.monotonic() + 300

    def running() -> list[Path]:
        folders = (path.parent for path in tmp_path.glob("runs/config/*/*/manifest.json"))
        return [folder for folder in folders if is_running(folder)]

    while len(running()) < 2 or not any(tmp_path.glob("artifacts/*.partial/.state/step-*")):
        assert child.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
        assert time.monotonic() < limit
        time.sleep(0.1)
    child.kill()
    child.wait()
    while running():
        assert time.monotonic() < limit
        time.sleep(0.1)


SEES = """
import os
import time
from pathlib import Path

from preflab import hookimpl

seen = Path(os.environ["SEEN"])


@hookimpl
def preflab_stage_started(stage):
    (seen / str(os.getpid())).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    limit = time.monotonic() + 250
    while len(list(seen.iterdir())) < 2 and time.monotonic() < limit:
        time.sleep(0.1)
"""
"""A plugin that writes which GPUs its job sees, and has the job wait for another one."""


@pytest.mark.reliability
def test_multiruns_side_by_side_have_gpus_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two commands, with two GPUs each of a machine that is said to have four. The short forms
    are in tests/framework/jobs/test_gpus.py."""
    plugin, seen = tmp_path / "sees.py", tmp_path / "seen"
    plugin.write_text(SEES)
    seen.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    given = {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SEEN": str(seen)}
    groups = ("sft", "samples", "comparisons", "reward_model", "algorithm", "evaluation")
    none = (*(f"{group}=none" for group in groups), "pretrain.steps=1", "runtime.gpus_per_job=2")
    running = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        words = ("--plugin", str(plugin), "-m", f"seed={seed}", *FAST, *none)
        running.append(start(folder, *words, **given))
    codes = [ended(child) for child in running]
    assert codes == [0, 0], [(tmp_path / s / "log.txt").read_text()[-2000:] for s in ("1", "2")]
    assert sorted(file.read_text() for file in seen.iterdir()) == ["0,1", "2,3"]
