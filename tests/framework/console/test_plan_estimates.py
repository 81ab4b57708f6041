"""The speed at which a plan names times. What it says of stages is tested with the plan, and with
the page on larger models."""

from __future__ import annotations

import pytest

from preflab import UserError
from preflab.console.plan_estimates import sentences, taken_speed


def test_the_speed_can_be_given() -> None:
    assert taken_speed(["a=1", "-m"]) == (["a=1", "-m"], 0)
    assert taken_speed(["a=1", "--gflops", "5e5", "-m"]) == (["a=1", "-m"], 5e14)


@pytest.mark.parametrize("given", [(), ("x",), ("0",), ("-1",), ("inf",), ("nan",)])
def test_a_speed_is_a_number(given: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"--gflops is .* must be a number > 0"):
        taken_speed(["a=1", "--gflops", *given])


def test_of_nothing_nothing_is_said() -> None:
    assert sentences([]) == []
