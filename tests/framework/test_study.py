"""What a study declares: a claim names its measure and arm, and compares with at most one thing."""

from __future__ import annotations

import pytest

from preflab.options import problems
from preflab.study import ClaimConfig, SeedsConfig, StudyConfig, Until


@pytest.mark.parametrize(
    "settings,wrong",
    [
        ({}, []),
        ({"versus": "PPO"}, []),
        ({"frontier": ["SFT", "PPO"]}, []),
        ({"arm": ""}, [("claims.a.arm", "is empty")]),
        ({"margin": -0.1}, [("margin", "is -0.1 but must be >= 0")]),
        (
            {"versus": "PPO", "frontier": ["SFT"]},
            [("claims.a.versus", "or frontier may be given, not both")],
        ),
    ],
)
def test_a_claim_that_cannot_be_decided_is_refused(
    settings: dict[str, object], wrong: list[tuple[str, str]]
) -> None:
    claim = ClaimConfig(**({"statement": "a", "measure": "m", "arm": "x"} | settings))  # type: ignore[arg-type]
    found = (
        [*problems(claim)]
        if "margin" in settings
        else [*problems(StudyConfig(claims={"a": claim}))]
    )
    assert found == wrong


@pytest.mark.parametrize(
    "seeds,looks",
    [
        (SeedsConfig(), (4, 8, 12, 16, 20, 24)),
        (SeedsConfig(at_least=3, at_most=8, block=2), (3, 5, 7, 8)),
        (SeedsConfig(at_least=5, at_most=5), (5,)),
        (SeedsConfig(until=Until.at_most), (24,)),
    ],
)
def test_looks_follow_each_block_and_the_blocks_are_all_seeds(
    seeds: SeedsConfig, looks: tuple[int, ...]
) -> None:
    assert seeds.looks == looks
    assert [seed for block in seeds.blocks() for seed in block] == list(range(1, looks[-1] + 1))


def test_seeds_that_decide_nothing_are_refused() -> None:
    claims = {"tax": ClaimConfig("a", "m", "x")}
    unknown = StudyConfig(claims=claims, seeds=SeedsConfig(claims=["tacks"]))
    message = "has tacks, which is no claim. Allowed: tax. Did you mean 'tax'?"
    assert [*problems(unknown)] == [("seeds.claims", message)]
    ((name, message),) = problems(StudyConfig(seeds=SeedsConfig()))
    assert (name, "study.seeds.until=at_most" in message) == ("seeds.until", True)
    assert [*problems(StudyConfig(seeds=SeedsConfig(until=Until.at_most)))] == []
    wrong = [*problems(StudyConfig(claims=claims, seeds=SeedsConfig(at_most=3)))]
    assert wrong == [("seeds.at_most", "is 3 but must be >= at_least, which is 4")]
