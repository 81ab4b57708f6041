"""Training that goes on where another run's ended, through the command line: two halves are one
whole, also when each is killed; and what does not fit is refused before any work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.runs import UNSEEN, killed, preflab
from preflab.storage.artifacts import file_digest, opened, read_rows
from support import represented_by

WORDS = (
    *UNSEEN,
    "debug=fast",
    "evaluation=none",
    "algorithm=ppo",
    "algorithm.policy.schedule=constant",
    "algorithm.value.schedule=constant",
    "algorithm.ema=0.9",
    "algorithm.kl.controller=adaptive",
    "+watch=proxy",
    "algorithm.watch.every=1",
    "algorithm.keep=best:length/tokens",
)
"""Everything that is carried from iteration to iteration: moments, average, coefficient, best."""
WHOLE = (*WORDS, "algorithm.episodes=32", "hydra.run.dir=runs/whole")
HALF = (*WORDS, "algorithm.episodes=16", "hydra.run.dir=runs/half")
REST = (*WORDS, "algorithm.episodes=32", "algorithm.continues=runs/half")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole and with the first half."""
    folder = tmp_path_factory.mktemp("runs")
    assert preflab(folder, *WHOLE) == 0, (folder / "log.txt").read_text()[-3000:]
    assert preflab(folder, *HALF) == 0, (folder / "log.txt").read_text()[-3000:]
    return folder


def result(folder: Path, run: str) -> tuple[dict[str, str], list[dict[str, float]]]:
    """Digests of the models that a run made, and its log without times."""
    artifact = (folder / "runs" / run / "artifacts" / "algorithm").resolve()
    models = {
        n: file_digest(artifact / n / "model.safetensors")
        for n in ("model", "value")
        if (artifact / n).is_dir()
    }
    rows = read_rows(artifact / "metrics.jsonl")
    return models, [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


WORK = ("tokens", "flops", "tokens_before", "flops_before")


def cost(folder: Path, run: str) -> dict[str, float]:
    """What making the algorithm of a run took."""
    artifact = folder / "runs" / run / "artifacts" / "algorithm"
    return {k: v for k, v in opened(artifact.resolve()).manifest["cost"].items() if k in WORK}


def test_two_halves_are_one_whole(runs: Path) -> None:
    assert preflab(runs, *REST, "hydra.run.dir=runs/rest") == 0
    half, rest, whole = (cost(runs, run) for run in ("half", "rest", "whole"))
    assert whole.keys() == {"tokens", "flops"}
    for name in ("tokens", "flops"):
        assert rest[f"{name}_before"] == half[name]
        # What a run does once, before its first step, is done twice.
        assert whole[name] <= rest[f"{name}_before"] + rest[name] < 1.2 * whole[name]
    assert result(runs, "rest") == result(runs, "whole")
    assert result(runs, "half") != result(runs, "whole")


OTHERS = {
    "dpo": (("algorithm=dpo", "algorithm.optimizer.schedule=constant"), "epochs={}"),
    "rloo": (("algorithm=rloo", "algorithm.policy.schedule=constant"), "episodes={}6"),
    "online_dpo": (("algorithm=online_dpo", "algorithm.policy.schedule=constant"), "episodes={}6"),
}


@pytest.mark.parametrize("name", represented_by(["dpo"], OTHERS))
def test_so_are_those_of_other_algorithms(runs: Path, name: str) -> None:
    words, length = OTHERS[name]
    made = {
        f"{name}_whole": [length.format(3)],
        f"{name}_half": [length.format(1)],
        f"{name}_rest": [length.format(3), f"continues=runs/{name}_half"],
    }
    for run, options in made.items():
        folder = f"hydra.run.dir=runs/{run}"
        more = [f"algorithm.{option}" for option in options]
        command = (*UNSEEN, "debug=fast", "evaluation=none", *words, *more, folder)
        assert preflab(runs, *command) == 0, (runs / "log.txt").read_text()[-3000:]
    whole, half, rest = (result(runs, run) for run in made)
    assert rest == whole
    assert half[0] != whole[0]


def test_killed_inside_each_half_they_still_are(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "artifacts", tmp_path / "artifacts")
    for artifact in tmp_path.glob("artifacts/debug/algorithm-*[0-9a-f]/"):
        shutil.rmtree(artifact)
    every = ("checkpoint.every_steps=1", "checkpoint.every_seconds=1e9")
    killed(tmp_path, "algorithm", 1, *HALF, *every)
    assert preflab(tmp_path, *HALF, *every) == 0
    rest = (*REST, *every, "hydra.run.dir=runs/rest")
    killed(tmp_path, "algorithm", 2, *rest)  # before its first own checkpoint
    killed(tmp_path, "algorithm", 3, *rest)
    assert preflab(tmp_path, *rest) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert result(tmp_path, "rest") == result(runs, "whole")
    assert cost(tmp_path, "half") == cost(runs, "half")


@pytest.fixture
def said(runs: Path) -> Iterator[list[str]]:
    """What a test is going to find in the log, which begins empty."""
    (runs / "log.txt").unlink(missing_ok=True)
    expected: list[str] = []
    yield expected
    text = " ".join((runs / "log.txt").read_text().split())
    assert all(words in text for words in expected), text[-2000:]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["algorithm.episodes=16"], "has done 2 steps, and this run would end after 2"),
        (["seed=2"], "names training with seed 1, and this run has 2: give seed=1"),
        (["algorithm.batch=16"], "algorithm.batch is 16, and algorithm.continues=runs/half was"),
        (["policy.width=96"], "made with another policy than this run has"),
        (["algorithm.kl.coef=0.5"], "takes the coefficient over from where it ended"),
        (["algorithm.continues=runs/other"], "neither the folder of a run that has finished"),
        (["algorithm.continues=runs"], "neither the folder of a run that has finished"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    runs: Path, said: list[str], words: list[str], sentence: str
) -> None:
    before = sorted(runs.glob("**/*"))
    assert preflab(runs, *REST, *words) == 2
    assert [p for p in sorted(runs.glob("**/*")) if p.name != "log.txt"] == before
    said.append(sentence)


def test_without_a_state_the_cure_is_named(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True, symlinks=True)
    for artifact in tmp_path.glob("artifacts/debug/algorithm-*[0-9a-f]/state"):
        shutil.rmtree(artifact)
    assert preflab(tmp_path, *REST) == 2
    text = " ".join((tmp_path / "log.txt").read_text().split())
    assert "keeps no state to train on from" in text
    assert "then: preflab rerun RUN checkpoint.state_mb=null" in text


def test_other_values_are_told_and_count(runs: Path, said: list[str]) -> None:
    other = ("algorithm.kl.controller=fixed", "algorithm.kl.coef=0.5")
    words = (*REST, *other, "hydra.run.dir=runs/other_values")
    assert preflab(runs, *words) == 0
    said.append("kl.coef (0.1 until now, then 0.5), kl.controller (adaptive until now, then fixed)")
    assert result(runs, "other_values")[1][2]["kl/coef"] == 0.5
    assert result(runs, "other_values") != result(runs, "whole")
    ids = [
        json.loads((runs / "runs" / run / "manifest.json").read_text())["stages"][-1]["recipe"]
        for run in ("whole", "half", "other_values")
    ]
    assert len(set(ids)) == 3


def test_a_schedule_of_the_whole_length_is_told(runs: Path, said: list[str]) -> None:
    assert preflab(runs, "plan", *REST, "algorithm.policy.schedule=linear") == 0
    said.append("The learning rate's schedule (linear) is a function of the whole length")
