"""Configs of the baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preflab import option
from preflab.optimization import OptimizerConfig

if TYPE_CHECKING:
    from preflab.interfaces import Context


@dataclass
class BestOfNConfig:
    """Sample n responses, keep the one with the highest reward: optimisation without training, with
    a KL to the policy of at most log n - (n - 1) / n nats (1.84 for n = 16)."""

    name: str = option("best_of_n", "component")
    n: int = option(16, "samples per prompt", ge=1, fast=2)


@dataclass
class SteeredConfig:
    """Decoding steered by a class-conditional language model, without training (GeDi, Krause et al.
    2020, 2009.06367): each token is drawn from p(token) * p(wanted class | text so far) ** weight,
    where a model that was trained with two prefixes (transforms=control_tokens) gives the class by
    Bayes' rule. It reads every response three times."""

    name: str = option("steered", "component")
    path: str = option(
        "",
        "folder of a model that was trained with both prefixes, or of its run, with the policy's "
        "tokenizer; empty: the run's own policy",
        affects_result=False,
    )
    wanted: str = option("", "prefix of the wanted class, with its space")
    unwanted: str = option("", "prefix of the other class, with its space")
    weight: float = option(
        30.0, "power of the class's probability at every token, not once a text (paper: 30)", ge=0
    )

    def in_front(self, context: Context) -> Sequence[str]:
        """What the class-conditional model reads before a prompt."""
        return (self.wanted, self.unwanted)

    def check(self) -> Iterator[tuple[str, str]]:
        """The classes can be told apart."""
        if not self.wanted.strip() or not self.unwanted.strip():
            yield "wanted", "and unwanted must be the prefixes that the model was trained with"
        elif self.wanted.strip() == self.unwanted.strip():
            yield "unwanted", f"is {self.unwanted!r}, the same as wanted"


@dataclass
class TermsOnlyConfig:
    """The gradient terms of an algorithm without the algorithm, for as many optimizer steps: what
    the terms do by themselves."""

    name: str = option("terms_only", "component")
    episodes: int = option(
        256_000,
        "episodes of the algorithm that this controls for; they set the number of steps, nothing "
        "is sampled",
        ge=1,
        fast=16,
    )
    batch: int = option(
        512,
        "the algorithm's episodes per iteration; the schedule moves once per iteration",
        ge=1,
        fast=8,
    )
    minibatch: int = option(64, "the algorithm's episodes per optimizer step", ge=1, fast=4)
    policy: OptimizerConfig = option(factory=OptimizerConfig, doc="optimizer of the policy")
    terms: dict[str, Any] = option(factory=dict, doc="gradient terms, for example ptx")
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def check(self) -> Iterator[tuple[str, str]]:
        """Batches divide, and there is a gradient."""
        if self.minibatch > self.batch or self.batch % self.minibatch:
            yield "minibatch", f"is {self.minibatch} but must divide batch ({self.batch})"
        if self.episodes < self.batch:
            yield "episodes", f"is {self.episodes} but must be at least batch ({self.batch})"
        if not any(term.coef for term in self.terms.values()):
            yield (
                "terms",
                "is empty, or every coef is 0, so that nothing would be trained: add a term, or "
                "choose algorithm=none",
            )
