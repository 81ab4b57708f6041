"""A run whose people are robots at browsers: they say what the simulated labelers of the embedded
world say, and the run makes what it makes with those."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from end_to_end.runs import preflab
from people.robots import Server, label_all
from preflab_people.commands import label

pytestmark = pytest.mark.slow

PEOPLE, PROMPTS = 16, 60
TINY = (
    *("--no-plugin", "tensorboard", "--no-plugin", "progress", "debug=fast", "runtime.threads=1"),
    *("algorithm=none", "evaluation=none", "seed=3"),
    *(f"samples.prompts={PROMPTS}", "samples.validation_prompts=12", "samples.k=4"),
)
WAITING = (*TINY, "labeler=people", "labeler.round=spring")


def manifest(folder: Path) -> dict[str, Any]:
    """That of the last run in a folder."""
    paths = sorted(folder.glob("runs/**/manifest.json"), key=lambda path: path.stat().st_mtime)
    made: dict[str, Any] = json.loads(paths[-1].read_text())
    return made


def artifact(folder: Path, stage: str) -> Path:
    """The artifact of a stage of the last run."""
    (row,) = [row for row in manifest(folder)["stages"] if row["stage"] == stage]
    return folder / str(row["artifact"])


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path) -> dict[str, str]:
    """sha256 of each file of a model's weights."""
    found = sorted(folder.rglob("*.safetensors"))
    assert found
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
    }


class Simulated:
    """Ranks as the simulated labelers gave them. A prompt that is not in their rankings is one on
    which they tied everything."""

    def __init__(self, rankings: Sequence[dict[str, Any]]) -> None:
        self.rankings = {row["prompt"]["text"]: row for row in rankings}
        self.lock, self.asked = threading.Lock(), 0

    def __call__(self, prompt: str, outputs: Sequence[str]) -> list[int]:
        with self.lock:
            self.asked += 1
        row = self.rankings.get(prompt)
        if row is None:
            return [1] * len(outputs)
        # One more than the number of responses that are better; equal texts are equally good.
        better = {text: 1 for text in row["responses"]}
        for _, worse in {(row["responses"][i], row["responses"][j]) for i, j in row["preferences"]}:
            better[worse] += 1
        return [better[text] for text in outputs]


def test_robots_over_http_give_the_reward_model_of_the_simulated_labelers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert preflab(tmp_path, *TINY, "labeler=simulated", "labeler.labelers_per_prompt=1") == 0
    simulated = rows(artifact(tmp_path, "comparisons") / "rankings.jsonl")
    wanted = weights(artifact(tmp_path, "reward_model"))
    first = {row["stage"]: row["recipe"] for row in manifest(tmp_path)["stages"]}

    assert preflab(tmp_path, *WAITING) == 6
    run = f"runs/config/{manifest(tmp_path)['run']}"
    server = Server(tmp_path, run, "--people", str(PEOPLE), "--overlap", "0")
    judge = Simulated(simulated)
    label_all(server, judge)
    assert server.stop() == 0
    assert label(["close", "spring"]) == 0
    said = capsys.readouterr().out
    assert f"{len(simulated)} rankings for training" in said
    assert "0 skips + 0 open" in said
    assert judge.asked >= len(simulated)

    assert preflab(tmp_path, *WAITING) == 0, (tmp_path / "log.txt").read_text()
    people = rows(artifact(tmp_path, "comparisons") / "rankings.jsonl")
    # The same to the bit but for who said it: 16 people, not those of the world.
    names = {(row.pop("labeler"), row.pop("group")) for row in people}
    assert 2 <= len(names) <= PEOPLE
    for row in simulated:
        del row["labeler"], row["group"]
    assert people == simulated
    second = {row["stage"]: row["recipe"] for row in manifest(tmp_path)["stages"]}
    assert {name for name in first if first[name] != second[name]} == {
        "comparisons",
        "reward_model",
    }
    assert weights(artifact(tmp_path, "reward_model")) == wanted
