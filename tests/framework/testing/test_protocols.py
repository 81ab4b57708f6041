"""A method that is nearly an optional one, and is therefore never called, is a complaint."""

from __future__ import annotations

import torch

from preflab.interfaces import Accountable, HasNetwork, LeavesOut, ShowsBatch
from preflab.testing.protocols import known_members, unknown_methods


class Right(torch.nn.Module):
    """Overrides a method of torch's, has optional ones and a private one."""

    def forward(self) -> None: ...
    def accounting(self, history: object) -> dict[str, float]:
        return {}

    def batch(self, index: int) -> dict[str, float]:
        return {}

    def _own(self) -> None: ...


class Misspelt(Right):
    def acounting(self, history: object) -> dict[str, float]:
        return {}


def test_optional_members_are_known() -> None:
    assert {"batch", "accounting", "network", "left_out", "n", "temperature"} <= known_members()


def test_a_misspelt_method_is_named_with_the_right_one() -> None:
    (wrong,) = unknown_methods(Misspelt())
    assert wrong.startswith("has a public method 'acounting' that no protocol asks for.")
    assert "Did you mean 'accounting'?" in wrong
    assert unknown_methods(Right()) == []


def test_a_component_has_a_protocol_by_its_members() -> None:
    protocols = (Accountable, ShowsBatch, HasNetwork, LeavesOut)
    assert [isinstance(Right(), p) for p in protocols] == [True, True, False, False]
