"""Config of online DPO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from preflab import option
from preflab_builtin.on_policy.config import Controller, OnPolicyConfig, whole_groups
from preflab_builtin.preference.config import Loss


class Labels(StrEnum):
    """What the scores of a pair say."""

    bradley_terry = "bradley_terry"
    higher = "higher"


PAIR_LOSSES = (Loss.dpo, Loss.ipo)
"""Those whose only option is beta."""


@dataclass
class OnlineDPOConfig(OnPolicyConfig):
    """Sample several responses per prompt; the one with the highest and the one with the lowest
    score are a pair, on which the DPO loss is taken (Guo et al. 2024, arXiv 2402.04792). Its beta
    is ``kl.coef``; a prompt whose responses all have the same score gives no pair."""

    name: str = option("online_dpo", "component")
    samples: int = option(2, "responses per prompt, of which two are a pair", ge=2, fast=2)
    loss: Loss = option(Loss.dpo, "dpo, or ipo (arXiv 2310.12036)")
    labels: Labels = option(
        Labels.bradley_terry,
        "bradley_terry (both orders, weighed by sigmoid of the difference of scores: the optimum "
        "is that of reward less kl.coef times KL; dpo alone) or higher (the higher score is "
        "preferred)",
    )
    resample: int = option(
        0,
        "how often, in an iteration, prompts whose responses all have the same score are replaced "
        "by other prompts; 0: never",
        ge=0,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """What every on-policy algorithm checks, that there is a beta that stays, and the loss of a
        pair that has no other options."""
        yield from OnPolicyConfig.check(self)
        yield from whole_groups(self, self.samples)
        if self.kl.coef == 0:
            yield "kl.coef", "is 0 but must be > 0: it is the beta of the loss"
        if self.kl.controller is Controller.adaptive:
            yield "kl.controller", "is adaptive but must be fixed: kl.coef is the beta of the loss"
        if self.loss not in PAIR_LOSSES:
            yield "loss", f"is {self.loss} but must be {' or '.join(PAIR_LOSSES)}"
        elif self.labels is Labels.bradley_terry and self.loss is not Loss.dpo:
            yield "labels", "is bradley_terry, which only loss=dpo has: choose labels=higher"
