"""SIGKILL at any moment of any stage, repeatedly; the result has the bits of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import preflab
from end_to_end.runs import digests
from end_to_end.runs import preflab as command
from preflab.composing import search_path
from preflab.engine.loop import Loop
from preflab.engine.stages import Stages
from preflab.kinds import STAGES
from preflab.planning.reading import read
from preflab.storage import checkpoints
from preflab.storage.artifacts import MANIFEST, METRICS, file_digest, read_rows
from preflab.storage.durable import read_sealed, write_sealed
from reliability.figures import figure
from support import represented_by

SMALL = (
    *("policy.layers=2", "policy.width=64", "policy.heads=2"),
    *(
        "data.documents=600",
        "data.prompts=200",
        "data.demonstrations=60",
        "rollout.max_tokens=8",
        "pretrain.batch=8",
    ),
    *(
        "pretrain.steps=24",
        "sft.batch=4",
        "sft.steps=24",
        "sft.dropout=0.1",
        "samples.prompts=48",
        "samples.k=2",
    ),
    *(
        "samples.validation_prompts=4",
        "reward_model.batch=4",
        "algorithm.episodes=96",
        "algorithm.batch=4",
    ),
    *(
        "algorithm.minibatch=4",
        "algorithm.kl.controller=adaptive",
        "algorithm.kl.target=0.5",
        "algorithm.kl.horizon=50",
    ),
    *(
        "algorithm.ema=0.9",
        "evaluation.prompts=40",
        "checkpoint.every_steps=2",
        "runtime.threads=1",
        "runtime.micro_batch=4",
    ),
)
TRIALS = {
    "sft": ("sft", "ppo_ptx"),
    "reward_model": ("reward_model", "ppo_ptx"),
    "ppo": ("algorithm", "ppo"),
    "ppo_ptx": ("algorithm", "ppo_ptx"),
    "evaluation": ("evaluation", "ppo_ptx"),
}
"""Trial -> (stage, algorithm)."""


def _words(algorithm: str) -> tuple[str, ...]:
    return (
        *SMALL,
        f"algorithm={algorithm}",
        *(["algorithm.terms.ptx.ratio=1"] if algorithm == "ppo_ptx" else []),
    )


def _note(loop: Loop) -> str:
    """Digest of the final state: weights, moments, averages, controllers, cursors, streams."""
    tensors: dict[str, torch.Tensor] = {}
    tree = checkpoints.flatten(
        {"procedure": loop.procedure.state_dict(), "streams": loop.streams.state_dict()}, tensors
    )
    found = hashlib.sha256(json.dumps(tree, sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _prepared(algorithm: str) -> Stages:
    """The stages of a run with its records read, so that children need not read them again."""
    torch.set_num_threads(1)
    plain: Any = OmegaConf.to_container(
        preflab.compose((*_words(algorithm), "artifacts.dir=artifacts")), resolve=True
    )
    this = read(plain, search_path.registry())
    stages = Stages(this, lambda hook, **a: None, {})
    stages.preflight()
    for record_type in stages.environment.run.counts():
        stages.environment.records.split(record_type, "test")  # type: ignore[arg-type]
    assert stages.environment.policy_source
    return stages


def _make(folder: Path, stages: Stages, until: str) -> None:
    """All stages up to one; the final state of each goes to a note next to the artifacts."""
    real = Loop._run

    def noted(self: Loop) -> None:
        real(self)
        (folder / f"{self.stage}.note").write_text(_note(self))

    Loop._run = noted  # type: ignore[method-assign]
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    sys.stderr = os.fdopen(log, "a", buffering=1)  # otherwise pytest's
    names = [spec.name for spec in STAGES]
    wanted = tuple(s for s in stages.run.stages if names.index(s.name) <= names.index(until))
    stages.run = replace(stages.run, stages=wanted)
    stages.make_all()


@dataclass
class Bench:
    """What was made without a kill, by algorithm, and how to make it again."""

    folders: dict[str, Path]
    stages: dict[str, Stages]

    def upstream(self, trial: str, folder: Path) -> None:
        """The artifacts of the stages before a trial's."""
        stage = TRIALS[trial][0]
        names = [spec.name for spec in STAGES]
        for artifact in (self.folders["ppo_ptx"] / "artifacts").iterdir():
            name = artifact.name.rsplit("-", 1)[0]
            if artifact.is_dir() and names.index(name) < names.index(stage):
                shutil.copytree(artifact, folder / "artifacts" / artifact.name)

    def forked(self, trial: str, folder: Path, until: str = "") -> Any:
        """Start a trial's stage in a child."""
        stage, algorithm = TRIALS[trial]
        child = multiprocessing.get_context("fork").Process(
            target=_make, args=(folder, self.stages[algorithm], until or stage)
        )
        child.start()
        return child


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench({}, {})
    for trial, until in (("ppo_ptx", "evaluation"), ("ppo", "algorithm")):
        made.folders[trial] = folder = tmp_path_factory.mktemp(trial)
        made.stages[trial] = _prepared(trial)
        if trial == "ppo":
            made.upstream("ppo", folder)
        child = made.forked(trial, folder, until)
        child.join(170)
        assert child.exitcode == 0, (folder / "log.txt").read_text()[-3000:]
    return made


class Fresh:
    """A run in a new process, with the interface of a forked one."""

    def __init__(self, folder: Path, algorithm: str) -> None:
        words = (sys.executable, "-m", "preflab", *_words(algorithm), "artifacts.dir=artifacts")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=folder, stdout=log, stderr=log, env=environment
            )
        self.pid = self.process.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self.process.wait(seconds)


def _rows(folder: Path, stage: str) -> int:
    """Steps that the stage has logged; -1 before it has started."""
    return max(
        (
            p.read_bytes().count(b"\n")
            for p in folder.glob(f"artifacts/{stage}-*.partial/{METRICS}")
        ),
        default=-1,
    )


def _kill(start: Callable[[], Any], folder: Path, stage: str, target: int, pause: float) -> bool:
    """SIGKILL some seconds after a step; False if the run had ended before."""
    child = start()
    while child.exitcode is None and _rows(folder, stage) < target:
        time.sleep(0.002)
    time.sleep(pause)
    if child.exitcode is None:
        os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    return bool(child.exitcode == -signal.SIGKILL)


def _trial(
    bench: Bench, trial: str, folder: Path, kills: int, draw: random.Random, fresh: bool = False
) -> int:
    """Kill a stage several times, let it finish, compare; the number of kills that hit."""
    stage, algorithm = TRIALS[trial]
    folder.mkdir()
    bench.upstream(trial, folder)
    start = (lambda: Fresh(folder, algorithm)) if fresh else (lambda: bench.forked(trial, folder))
    (whole,) = (bench.folders[algorithm] / "artifacts").glob(f"{stage}-*[0-9a-f]")
    steps = len(read_rows(whole / METRICS))
    targets = sorted(draw.sample(range(-1, steps - 1), kills))
    hits = sum(_kill(start, folder, stage, target, draw.random() * 0.06) for target in targets)
    child = start()
    child.join(170)
    assert child.exitcode == 0, (folder / "log.txt").read_text()[-3000:]
    ours, theirs = (_digests(f, stage) for f in (folder, bench.folders[algorithm]))
    assert ours == theirs, (trial, targets)
    (made,) = (folder / "artifacts").glob(f"{stage}-*[0-9a-f]")
    # Each exactly once.
    assert [row["step"] for row in read_rows(made / METRICS)] == list(range(steps))
    note = folder / f"{stage}.note"
    if not fresh and note.exists():
        assert note.read_text() == (bench.folders[algorithm] / f"{stage}.note").read_text()
    else:
        assert fresh
    assert not list(folder.glob("artifacts/*.partial"))
    assert not [p for p in made.rglob("*") if p.name.endswith(".tmp") or p.name == ".state"]
    return hits


def _digests(folder: Path, stage: str) -> dict[str, str]:
    return {
        name: digest
        for name, digest in digests(folder).items()
        if name.startswith(f"artifacts/{stage}-")
    }


@pytest.mark.parametrize("trial", represented_by(["sft", "ppo_ptx"], TRIALS))
def test_after_two_kills_the_bits_are_the_same(bench: Bench, tmp_path: Path, trial: str) -> None:
    draw = random.Random(f"short {trial}")
    assert _trial(bench, trial, tmp_path / "trial", 2, draw) >= 1


@pytest.mark.reliability
@pytest.mark.parametrize("trial", TRIALS)
def test_after_24_kills_the_bits_are_the_same(bench: Bench, tmp_path: Path, trial: str) -> None:
    draw = random.Random(f"long {trial}")
    hits, trials = _trial(bench, trial, tmp_path / "fresh", 3, draw, fresh=True), 1
    while hits < 24 and trials < 12:  # a kill that comes when the stage has ended is drawn again
        hits, trials = hits + _trial(bench, trial, tmp_path / str(trials), 3, draw), trials + 1
    figure(f"{trial}: {trials} trials, {hits} kills that hit")
    assert hits >= 24


def test_another_reward_model_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Complete and of the same recipe, but not the one that the steps so far were made with."""
    bench.upstream("ppo", tmp_path)
    assert _kill(lambda: bench.forked("ppo", tmp_path), tmp_path, "algorithm", 6, 0.0)
    (artifact,) = tmp_path.glob("artifacts/reward_model-*")
    file = artifact / "model" / "preflab.json"
    file.write_text(file.read_text() + "\n")
    manifest = read_sealed(artifact / MANIFEST)
    manifest["files"]["model/preflab.json"] = file_digest(file)
    write_sealed(artifact / MANIFEST, manifest)
    child = bench.forked("ppo", tmp_path)
    child.join(100)
    # A traceback of multiprocessing; the command line has it as exit code 4.
    assert child.exitcode == 1
    assert "was made with another reward_model" in (tmp_path / "log.txt").read_text()


def _fresh_runs(folder: Path) -> Iterator[dict[str, str]]:
    for name in ("first", "second"):
        (folder / name).mkdir()
        process = Fresh(folder / name, "ppo_ptx")
        process.join(300)
        assert process.exitcode == 0, (folder / name / "log.txt").read_text()[-3000:]
        yield digests(folder / name)


@pytest.mark.reliability
def test_two_fresh_processes_give_the_same_bits_in_all_stages(tmp_path: Path, bench: Bench) -> None:
    """They are also the bits of a forked process without Hydra's main."""
    first, second = _fresh_runs(tmp_path)
    assert {name.split("/")[1].rsplit("-", 1)[0] for name in first} == {s.name for s in STAGES} - {
        "select"
    }
    assert first == second
    assert first == digests(bench.folders["ppo_ptx"])
    manifests = [read_sealed(p) for p in tmp_path.glob(f"*/artifacts/*/{MANIFEST}")]
    assert {manifest["circumstances"]["threads"] for manifest in manifests} == {1}


def test_a_changed_artifact_is_exit_code_4(bench: Bench, tmp_path: Path) -> None:
    bench.upstream("ppo", tmp_path)
    (artifact,) = tmp_path.glob("artifacts/reward_model-*")
    (artifact / "model" / "preflab.json").write_text("{}")
    assert command(tmp_path, *_words("ppo"), "artifacts.dir=artifacts") == 4
    log = (tmp_path / "log.txt").read_text()
    assert "model/preflab.json was changed since the artifact was made" in log
    assert "Traceback" not in log
