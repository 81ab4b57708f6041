"""Configs of SLiC, on given pairs and on the policy's own, and of the bag of words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from preflab import option
from preflab.optimization import OptimizerConfig
from preflab_builtin.on_policy.config import OnPolicyConfig, whole_groups


@dataclass
class SLiCConfig:
    """A hinge loss on pairs (SLiC-HF, Zhao et al. 2023, arXiv 2305.10425; as in 2309.06657).

    The policy is trained on ranked pairs, without a reward model and without sampling.
    """

    name: str = option("slic", "component")
    beta: float = option(
        0.1, "reward per nat of log pi / pi_reference; smaller allows a larger KL", gt=0
    )
    epochs: int = option(1, "passes over the pairs", ge=1, fast=1)
    batch: int = option(32, "pairs per optimizer step", ge=1, fast=8)
    max_tokens: int | None = option(
        None, "responses are cut to this many tokens, end token included; null: off", ge=1
    )
    optimizer: OptimizerConfig = option(factory=OptimizerConfig, doc="AdamW and its schedule")
    seed: int | None = option(None, "pins this stage's seed; null follows the run's", ge=0)


@dataclass
class OnlineSLiCConfig(OnPolicyConfig):
    """SLiC on the best and the worst of the policy's own responses; its beta is ``kl.coef``."""

    name: str = option("online_slic", "component")
    samples: int = option(2, "responses per prompt, of which two are a pair", ge=2, fast=2)

    def check(self) -> Iterator[tuple[str, str]]:
        """Prompts are not divided, and there is a beta."""
        yield from OnPolicyConfig.check(self)
        yield from whole_groups(self, self.samples)
        if self.kl.coef == 0:
            yield "kl.coef", "is 0 but must be > 0: it is the beta of the loss"


@dataclass
class BagOfWordsConfig:
    """A Bradley-Terry model whose score is a sum of word weights.

    It is a logistic regression on differences of word counts.
    """

    name: str = option("bag_of_words", "component")
    rounds: int = option(
        10, "rounds of fitting; each starts from the weights of the one before", ge=1, fast=3
    )
    iterations: int = option(20, "most L-BFGS iterations per round", ge=1)
    l2: float = option(0.01, "weight of half the sum of squared weights in the loss", ge=0)
    min_count: int = option(2, "words in fewer training responses have no weight", ge=1)
    seed: int | None = option(
        None, "pins this stage's seed (nothing is drawn from it); null follows the run's", ge=0
    )


@dataclass
class AverageConfig:
    """Averages the weights before and after SFT; what follows starts from the average."""

    name: str = option("weights", "component")
    share: float = option(0.5, "weight of the SFT model; 1: SFT alone", ge=0, le=1)
    seed: int | None = option(
        None, "pins this stage's seed (nothing is drawn from it); null follows the run's", ge=0
    )
