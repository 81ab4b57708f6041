"""What a stage may take, by what the most similar one took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab.composing.compose import parse
from preflab.planning.estimates import estimate
from preflab.planning.reading import check_jobs
from preflab.planning.run import Stage
from preflab.storage.artifacts import Artifact


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """Two sft stages that differ in the learning rate."""
    words = ["algorithm=none", "evaluation=none", "reward_model=none"]
    line = parse([*words, "-m", "sft.optimizer.lr=0.1,0.2"])
    first, second = (job.run.stage("sft") for job in check_jobs(line))
    assert first is not None
    assert second is not None
    return {"0.1": first, "0.2": second}


def made(of: Stage, name: str, seconds: float, **changed: Any) -> Artifact:
    facts: dict[str, Any] = {
        "stage": of.name,
        "component": of.choice.name,
        "recipe": of.recipe,
        "cost": {"seconds": seconds, "peak_mb": 400},
    }
    return Artifact(Path(name), facts | changed)


def test_the_same_options_count_whatever_the_seed_and_the_code(stages: dict[str, Stage]) -> None:
    """The newest of the equal ones, though another stage was made after it."""
    recipe = {**stages["0.1"].recipe, "seed": 7, "framework": "older"}
    artifacts = [
        made(stages["0.1"], "sft-a", 10.0),
        made(stages["0.1"], "sft-b", 12.0, recipe=recipe),
        made(stages["0.2"], "sft-c", 99.0),
        made(stages["0.1"], "sft-d", 99.0, component="other"),
        made(stages["0.1"], "x-e", 99.0, stage="x"),
    ]
    found = estimate(stages["0.1"], artifacts)
    assert found is not None
    assert (found.seconds, found.megabytes, found.different) == (12.0, 400.0, ())
    assert found.words() == "sft-b took"


def test_what_was_different_is_named(stages: dict[str, Stage]) -> None:
    found = estimate(stages["0.1"], [made(stages["0.2"], "sft-c", 99.0)])
    assert found is not None
    assert found.words() == "sft-c took, which had other sft.optimizer.lr"
    far = replace(found, different=("a", "b", "c", "d", "e"))
    assert far.words() == "sft-c took, which had other a, b, c and 2 more"


def test_without_an_earlier_run_there_is_no_estimate(stages: dict[str, Stage]) -> None:
    assert estimate(stages["0.1"], []) is None
    assert estimate(stages["0.1"], [made(stages["0.1"], "old", 1.0, recipe=None)]) is None
