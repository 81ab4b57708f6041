"""What a stage may take, by what the same work took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preflab.composing.compose import parse
from preflab.planning.estimates import Estimate, estimate, work
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run, Stage
from preflab.storage.artifacts import Artifact

WORDS = ["algorithm=none", "evaluation=none", "reward_model=none"]


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """Runs whose sft stages differ in one option, by that option; "" is the first."""
    words = ["sft.optimizer.lr=0.2", "sft.batch=8", "sft.mix_coef=0", "policy.width=64"]
    words += ["pretrain.steps=7"]
    words += ["runtime.micro_batch=8", "runtime.checkpointing=true", "rollout.batch=8"]
    first = ["sft.optimizer.lr=0.1"]
    return {
        word: check_jobs(parse([*WORDS, *first, *([word] if word else [])]))[0].run
        for word in ("", *words)
    }


def stage_of(run: Run, name: str = "sft") -> Stage:
    """The stage that is asked for."""
    stage = run.stage(name)
    assert stage is not None
    return stage


def made(run: Run, name: str, seconds: float, of_stage: str = "sft", **changed: Any) -> Artifact:
    """What a stage of a run left, as `preflab.engine.stages` notes it."""
    of = stage_of(run, of_stage)
    facts: dict[str, Any] = {
        "stage": of.name,
        "component": of.choice.name,
        "recipe": of.recipe,
        "work": work(run, of),
        "cost": {"seconds": seconds, "peak_mb": 400},
    }
    return Artifact(Path(name), facts | changed)


def guess(run: Run, *artifacts: Artifact, name: str = "sft") -> Estimate | None:
    return estimate(run, stage_of(run, name), artifacts)


def test_the_same_options_count_whatever_the_seed_and_the_code(runs: dict[str, Run]) -> None:
    """The newest of the equal ones, though another stage was made after it."""
    run = runs[""]
    recipe = {**stage_of(run).recipe, "seed": 7, "framework": "older"}
    found = guess(
        run,
        made(run, "sft-a", 10.0),
        made(run, "sft-b", 12.0, recipe=recipe),
        made(runs["sft.optimizer.lr=0.2"], "sft-c", 99.0),
        made(run, "sft-d", 99.0, component="other"),
        made(run, "x-e", 99.0, stage="x"),
    )
    assert found is not None
    assert (found.seconds, found.megabytes, found.different) == (12.0, 400.0, ())
    assert found.words() == "sft-b took"


def test_another_rate_is_named(runs: dict[str, Run]) -> None:
    found = guess(runs[""], made(runs["sft.optimizer.lr=0.2"], "sft-c", 99.0))
    assert found is not None
    assert found.words() == "sft-c took, which had other sft.optimizer.lr"
    far = replace(found, different=("a", "b", "c", "d", "e"))
    assert far.words() == "sft-c took, which had other a, b, c and 2 more"


@pytest.mark.parametrize(
    "word",
    [
        "policy.width=64",
        "pretrain.steps=7",  # of a stage before
        "sft.batch=8",
        "sft.mix_coef=0",  # no documents are read
        "runtime.micro_batch=8",
        "runtime.checkpointing=true",
        "rollout.batch=8",
    ],
)
def test_other_sizes_say_nothing(word: str, runs: dict[str, Run]) -> None:
    """Neither a run of another model nor one of other batches tells what this one takes."""
    assert guess(runs[""], made(runs[word], "sft-c", 99.0)) is None


@pytest.mark.parametrize(
    ("words", "name", "word"),
    [
        # Pretraining windows per episode; the share of the records that stay.
        (("algorithm=ppo_ptx",), "algorithm", "algorithm.terms.ptx.ratio=3"),
        (("filters=chance",), "sft", "filters.chance.share=0.25"),
    ],
)
def test_a_fraction_that_is_a_size_says_nothing(
    words: tuple[str, ...], name: str, word: str
) -> None:
    one, two = (
        check_jobs(parse(["evaluation=none", *words, *more]))[0].run for more in ((), (word,))
    )
    assert guess(one, made(one, "a", 1.0, name), name=name) is not None
    assert guess(one, made(two, "b", 1.0, name), name=name) is None


@pytest.mark.parametrize(
    "variables",
    [
        {"WORLD_SIZE": "4"},
        {"ACCELERATE_USE_FSDP": "true", "WORLD_SIZE": "4"},
    ],
)
def test_processes_of_a_launcher_are_others(
    variables: dict[str, str], runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What 4 processes of torchrun took says nothing of one, and is noted as what it was."""
    run = runs[""]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    there = made(run, "sft-a", 9.0)
    noted = there.manifest["work"]["runtime"]
    sharding = "full" if len(variables) > 1 else "none"
    assert (noted["processes"], noted["sharding"]) == (4, sharding)
    for name in variables:
        monkeypatch.delenv(name)
    assert guess(run, there) is None


def test_another_content_says_nothing(runs: dict[str, Run]) -> None:
    """A model of the same options in another folder: its path is in no recipe, its digest is."""
    recipe = stage_of(runs[""]).recipe
    policy = {**recipe["uses"]["policy"], "content": [["", "digest of 7B"]]}
    other = {**recipe, "uses": {**recipe["uses"], "policy": policy}}
    assert guess(runs[""], made(runs[""], "sft-c", 99.0, recipe=other)) is None


def test_without_an_earlier_run_there_is_no_estimate(runs: dict[str, Run]) -> None:
    run = runs[""]
    assert guess(run) is None
    assert guess(run, made(run, "old", 1.0, recipe=None)) is None
