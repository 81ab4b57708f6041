"""What a study declares: a claim names its measure and arm, and compares with at most one thing."""

from __future__ import annotations

import pytest

from preflab.options import problems
from preflab.study import ClaimConfig, StudyConfig


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
