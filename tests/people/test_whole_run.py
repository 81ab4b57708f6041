"""A run whose people are robots at browsers: they say what the simulated labelers of the embedded
world say, and the run makes what it makes with those."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from people import whole_runs
from people.robots import Server, label_all
from people.whole_runs import artifact, last_run, recipes, rows, said, weights

pytestmark = pytest.mark.slow

PEOPLE, PROMPTS = 16, 60
TINY = (
    *(*whole_runs.TINY, "seed=3"),
    *(f"samples.prompts={PROMPTS}", "samples.validation_prompts=12", "samples.k=4"),
)
WAITING = (*TINY, "labeler=people", "labeler.round=spring")
NO_REPORT = ("--no-plugin", "report")
"""Nobody looks at it."""


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


def test_robots_over_http_give_the_reward_model_of_the_simulated_labelers(tmp_path: Path) -> None:
    said(tmp_path, *NO_REPORT, *TINY, "labeler=simulated", "labeler.labelers_per_prompt=1")
    simulated = rows(artifact(tmp_path, "comparisons") / "rankings.jsonl")
    wanted, first = weights(artifact(tmp_path, "reward_model")), recipes(tmp_path)

    said(tmp_path, *WAITING, code=6)
    server = Server(tmp_path, last_run(tmp_path), "--people", str(PEOPLE), "--overlap", "0")
    judge = Simulated(simulated)
    label_all(server, judge)
    assert server.stop() == 0
    closed = said(tmp_path, "label", "close", "spring")
    assert f"{len(simulated)} rankings for training" in closed
    assert "0 skips + 0 open" in closed
    assert judge.asked >= len(simulated)

    said(tmp_path, *NO_REPORT, *WAITING)
    people = rows(artifact(tmp_path, "comparisons") / "rankings.jsonl")
    # The same to the bit but for who said it: 16 people, not those of the world.
    names = {(row.pop("labeler"), row.pop("group")) for row in people}
    assert 2 <= len(names) <= PEOPLE
    for row in simulated:
        del row["labeler"], row["group"]
    assert people == simulated
    second = recipes(tmp_path)
    other = {name for name in first if first[name] != second[name]}
    assert other == {"comparisons", "reward_model"}
    assert weights(artifact(tmp_path, "reward_model")) == wanted
