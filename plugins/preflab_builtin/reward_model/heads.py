"""Which numbers of a position are the rewards that a ranking trains: the only one, or those that
another component chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from preflab.interfaces import HeadsModel, Policy, ScalarModel
from preflab.records import Ranking

OneLoss = Callable[[torch.Tensor], torch.Tensor]
"""Rewards [K] of a ranking's responses -> its loss, a scalar."""


class Heads(Protocol):
    """What `KwiseTraining` asks about the head, or the heads, of the network that it trains."""

    rate: float
    """Learning rate of the heads as a multiple of the rest's."""

    @property
    def model(self) -> ScalarModel | HeadsModel:
        """The network, once it is made."""

    def make(self, policy: Policy, generator: torch.Generator, rankings: Sequence[Ranking]) -> None:
        """Make the network for the rankings that are going to be trained on."""

    def rewards(self, values: torch.Tensor, ranking: Ranking) -> Sequence[torch.Tensor]:
        """The values [K] or [K, G] of a ranking's responses -> the rewards [K] of each head that
        the ranking trains, one at least: by their mean it is judged which pairs are in the right
        order."""

    def loss(self, values: torch.Tensor, ranking: Ranking, own: OneLoss) -> torch.Tensor:
        """The loss of a ranking, a scalar, from the values of its responses. own: of one reward for
        each response, as the config chooses it."""

    def penalty(self) -> torch.Tensor | None:
        """What is added to the loss of a step, a scalar with a gradient; None: nothing."""

    def centre(self, means: Sequence[float]) -> None:
        """Store the mean value of each head as what is subtracted from it."""

    def trained(self, values: Callable[[], Sequence[torch.Tensor]]) -> None:
        """The training has ended and the network is about to be saved. values(): those of the
        responses to each of some training prompts, [K] or [K, G] float64."""

    def accounting(self) -> Mapping[str, float]:
        """Counts of what the heads are trained on."""

    def metrics(self) -> Mapping[str, float]:
        """What a step says of the heads."""


class OneHead:
    """`Heads` of a reward model for everybody."""

    model: ScalarModel
    rate = 1.0

    def make(self, policy: Policy, generator: torch.Generator, rankings: Sequence[Ranking]) -> None:
        """The policy's scalar model."""
        self.model = policy.scalar_model(generator)

    def rewards(self, values: torch.Tensor, ranking: Ranking) -> Sequence[torch.Tensor]:
        """The values themselves."""
        return [values]

    def loss(self, values: torch.Tensor, ranking: Ranking, own: OneLoss) -> torch.Tensor:
        """That of the values."""
        return own(values)

    def penalty(self) -> torch.Tensor | None:
        """Nothing."""
        return None

    def centre(self, means: Sequence[float]) -> None:
        """The one offset."""
        (self.model.offset,) = means

    def trained(self, values: Callable[[], Sequence[torch.Tensor]]) -> None:
        """Nothing."""

    def accounting(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def metrics(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
