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
        (("reward_model=kwise_groups",), False),
        (("labeler.conflict=0.2",), False),
        (("labeler.conflict=0.2", "evaluation.evaluators.groups=null"), True),
        (("reward_model=kwise_groups", "evaluation=samples"), False),  # its heads
        (("labeler.conflict=0.2", "evaluation=samples"), True),  # one reward for all
        (("reward_model=kwise_groups", "evaluation=reward_model"), True),
        (("labeler.conflict=0.2", "evaluation=reward_model"), True),
        (("labeler.conflict=0.2", *ACCURACY, "evaluation=reward_model"), False),
        (("labeler.conflict=0.2", *ACCURACY, "evaluation=samples"), False),  # which has none
        (("labeler.conflict=0.2", "evaluation=none"), False),  # nothing is
        ((), False),
    ],
)
def test_a_run_says_that_nobody_asks_the_groups(overrides: tuple[str, ...], said: bool) -> None:
    sentences = set(unmeasured(run_of(*overrides)))  # once, whoever says it
    assert [sentence.startswith(MISSING) for sentence in sentences] == [True] * said


GROUPS = "evaluation.evaluators.groups"


@pytest.mark.parametrize(
    "overrides",
    [
        ("labeler.conflict=0.2",),
        ("reward_model=kwise_groups",),
        ("reward_model=kwise_groups", "algorithm=for_groups", "evaluation=without_reward"),
        ("reward_model=sum", "+reward_model@reward_model.members.people=kwise_groups"),
        ("labeler.conflict=0.2", "evaluation=refusals"),
    ],
)
def test_the_ladder_asks_the_groups_where_they_are_kept_apart(overrides: tuple[str, ...]) -> None:
    asked, always = run_of(*overrides), run_of(*overrides, f"{GROUPS}.always=true")
    assert "groups" in asked.choices["evaluation"].config.evaluators
    assert GROUPS in {choice.key for choice in asked.all_choices()}
    assert asked.stages[-1].recipe_id == always.stages[-1].recipe_id


@pytest.mark.parametrize("overrides", [(), ("evaluation=refusals", "data=refusals")])
def test_where_nobody_keeps_groups_apart_a_run_is_the_one_without_them(
    overrides: tuple[str, ...],
) -> None:
    given, without = run_of(*overrides), run_of(*overrides, f"{GROUPS}=null")
    assert GROUPS not in {choice.key for choice in given.all_choices()}
    assert [s.recipe for s in given.stages] == [s.recipe for s in without.stages]
    always = run_of(*overrides, f"{GROUPS}.always=true")
    assert "groups" in always.choices["evaluation"].config.evaluators
    same = [a.recipe_id == b.recipe_id for a, b in zip(given.stages, always.stages, strict=True)]
    assert same == [True] * (len(same) - 1) + [False]


def test_jobs_of_one_command_do_not_change_each_others_evaluators() -> None:
    """They share their typed configs."""
    jobs = check_jobs(parse(["-m", "labeler.conflict=0,0.2,0"]))
    asked = ["groups" in job.run.choices["evaluation"].config.evaluators for job in jobs]
    assert asked == [False, True, False]


@pytest.mark.parametrize("evaluation", ["samples", "without_people"])
def test_where_nobody_can_be_asked_the_heads_are(evaluation: str) -> None:
    run = run_of("reward_model=kwise_groups", f"evaluation={evaluation}")
    assert run.choices["evaluation"].config.evaluators["groups"].asks == "heads"
    plain = run_of("labeler.conflict=0.2", f"evaluation={evaluation}")
    assert "groups" not in plain.choices["evaluation"].config.evaluators
