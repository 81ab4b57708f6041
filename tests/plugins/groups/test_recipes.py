"""How heads are weighed is chosen after they are trained: one artifact under every welfare, and
all that uses it made anew."""

from __future__ import annotations

import pytest

from preflab.composing.compose import parse
from preflab.engine.preflight import key
from preflab.planning.objectives import unmeasured
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run
from preflab_builtin.microworld.config import WHAT_GROUPS_GET


def run_of(*overrides: str) -> Run:
    (job,) = check_jobs(parse(overrides))
    return job.run


@pytest.mark.parametrize(
    "overrides",
    [
        ("reward_model=kwise_groups", "reward_model.welfare=equal"),
        (
            "reward_model=kwise_groups",
            "reward_model.welfare=weights",
            "+reward_model.weights.minority=1",
        ),
        ("reward_model=kwise_mean_variance", "reward_model.quantile=0.1"),
    ],
)
def test_the_use_changes_what_uses_the_model_and_not_its_training(
    overrides: tuple[str, ...],
) -> None:
    before, after = run_of(overrides[0]), run_of(*overrides)
    changed = [a.recipe_id != b.recipe_id for a, b in zip(before.stages, after.stages, strict=True)]
    names = [stage.name for stage in before.stages]
    assert [name for name, new in zip(names, changed, strict=True) if new] == [
        "algorithm",
        "evaluation",
    ]
    # A job of a study that differs in this alone is looked at before the first one starts.
    assert {key(stage) for stage in before.stages} != {key(stage) for stage in after.stages}


def test_the_training_changes_all() -> None:
    before = run_of("reward_model=kwise_groups")
    after = run_of("reward_model=kwise_groups", "reward_model.shrink=0.5")
    same = [a.recipe_id == b.recipe_id for a, b in zip(before.stages, after.stages, strict=True)]
    names = [stage.name for stage in before.stages]
    assert "reward_model" not in [name for name, s in zip(names, same, strict=True) if s]


def test_a_seed_changes_no_question() -> None:
    # The ids of the stages before differ, and the same would be said.
    one, two = (run_of("reward_model=kwise_groups", f"seed={seed}") for seed in (1, 2))
    assert [key(stage) for stage in one.stages] == [key(stage) for stage in two.stages]


MISSING = "What each group of people gets is not measured"
_WORDS = [word for word in " ".join(WHAT_GROUPS_GET).split() if word.startswith("++")]
ACCURACY = [word.rstrip(".") for word in _WORDS]
"""What the sentence advises."""


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("reward_model=kwise_groups",), True),
        (("labeler.conflict=0.2",), True),
        (("reward_model=kwise_groups", "labeler.conflict=0.2", "evaluation=groups"), False),
        (("labeler.conflict=0.2", *ACCURACY), False),
        (("labeler.conflict=0.2", *ACCURACY, "evaluation=samples"), False),  # which has none
        (("labeler.conflict=0.2", "evaluation=samples"), True),
        (("labeler.conflict=0.2", "evaluation=none"), False),  # nothing is
        ((), False),
    ],
)
def test_a_run_says_that_nobody_asks_the_groups(overrides: tuple[str, ...], said: bool) -> None:
    sentences = set(unmeasured(run_of(*overrides)))  # once, whoever says it
    assert [sentence.startswith(MISSING) for sentence in sentences] == [True] * said
