"""A role of a checkpoint that training will not keep is refused before any work, with the cure."""

from __future__ import annotations

import re
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.composing.compose import compose
from preflab.door.discovery import load
from preflab.planning.reading import read
from preflab.planning.run import Run
from preflab_builtin.preference.config import PreferenceConfig
from preflab_builtin.training.checkpoints import checkpoint, kept_steps
from preflab_builtin.training.config import WatchConfig

# 160 episodes in batches of 16 are 10 iterations.
TRAINED = ("algorithm=ppo", "algorithm.episodes=160", "algorithm.batch=16", "algorithm.minibatch=8")
WATCHED = (*TRAINED, "+watch=proxy", "algorithm.watch.every=3", "algorithm.watch.checkpoints=2")


def composed(*words: str) -> Run:
    config: Any = OmegaConf.to_container(compose([*words]), resolve=True)
    return read(config, load())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, []),
        ({"every": 3}, []),
        ({"every": 3, "checkpoints": 2}, [6, 9]),
        ({"every": 3, "checkpoints": 9}, [3, 6, 9]),
        ({"every": 11, "checkpoints": 1}, []),
        ({"every": 3, "checkpoints": 1, "patience": 1}, [3, 6, 9]),  # where it ends is not known
    ],
)
def test_what_is_kept_of_ten_steps(options: dict[str, Any], kept: list[int]) -> None:
    assert list(kept_steps(WatchConfig(**options), 10)) == kept


@pytest.mark.parametrize("step", [6, 9])
def test_what_is_kept_can_be_judged(step: int) -> None:
    assert composed(*WATCHED, f"evaluation.subject=result/step-{step}").stage("evaluation")


@pytest.mark.parametrize(
    ("words", "role", "said"),
    [
        (WATCHED, "result/step-3", r"keeps step-6, step-9\. .*checkpoints=3\."),
        (WATCHED, "result/step-8", r"To keep it: algorithm\.watch\.every=8 algorithm\.watch\.ch"),
        (WATCHED, "result/step-12", r"ends after step 10\."),
        (WATCHED, "result/step-06", r"keeps its policies as step-N, with N the number of steps\."),
        (WATCHED, "result/last", r"keeps its policies as step-N, with N the number of steps\."),
        (
            TRAINED,
            "result/step-4",
            r"no policy but its result\. To keep it: \+watch=proxy .*every=4 .*=2\.",
        ),
        (("algorithm=none",), "result/step-4", r"this run makes no stage 'algorithm'"),
        (("algorithm=best_of_n",), "result/step-4", r"this run makes no stage 'algorithm'"),
        (
            ("algorithm=dpo",),
            "result/step-4",
            r"no policy but its result\. To keep it: \+watch=proxy ",
        ),
        (("sft.epochs=2",), "sft/epoch-3", r"sft=demonstrations ends after epoch 2\."),
        ((), "sft/step-3", r"keeps its policies as epoch-N, with N the number of epochs\."),
        ((), "base/step-3", r"pretrain=documents keeps no checkpoints\."),
        ((), "initial/epoch-1", r"this run makes no stage 'select'"),
    ],
)
def test_a_role_that_will_not_be(words: tuple[str, ...], role: str, said: str) -> None:
    where = rf"needs the policy in the role .{role}. \(evaluation\.subject\)"
    with pytest.raises(UserError, match=where) as refused:
        composed(*words, f"evaluation.subject={role}")
    assert re.search(said, str(refused.value)), refused.value


@pytest.mark.parametrize(
    ("words", "role", "said"),
    [
        (("sft.epochs=2",), "sft/epoch-3", r"\(algorithm\.kl\.reference\), but sft=.* epoch 2\."),
        (("sft=none",), "sft", r"\(algorithm\.kl\.reference\), but this run makes no stage 'sft'"),
        (("sft=none",), "sft/epoch-1", r"this run makes no stage 'sft', which would keep it"),
    ],
)
def test_a_kl_reference_that_will_not_be(words: tuple[str, ...], role: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        composed("algorithm=ppo", *words, f"algorithm.kl.reference={role}")


@pytest.mark.parametrize("role", ["base", "initial", "sft", "sft/epoch-2"])
def test_a_kl_reference_that_will_be(role: str) -> None:
    run = composed("algorithm=ppo", "sft.epochs=2", f"algorithm.kl.reference={role}")
    assert run.stage("algorithm")


def test_where_the_data_decides_the_length_only_what_cannot_be_is_refused() -> None:
    watch = WatchConfig(every=3, checkpoints=1, evaluators={"any": object()})
    assert checkpoint(PreferenceConfig(watch=watch), "step-6") == ""
    assert "policies after each 3 steps alone" in checkpoint(
        PreferenceConfig(watch=watch), "step-7"
    )
