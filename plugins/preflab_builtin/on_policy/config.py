"""Options that every on-policy algorithm has. Values printed by InstructGPT (arXiv 2203.02155, C.4)
are named so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from preflab import option
from preflab.memory import Held, Load
from preflab.optimization import OptimizerConfig
from preflab.sampling import LIMIT
from preflab_builtin.training.config import EVALUATORS, TrainedConfig
from preflab_builtin.training.terms import with_terms


class Controller(StrEnum):
    """How the KL coefficient moves."""

    fixed = "fixed"
    adaptive = "adaptive"


class Aggregate(StrEnum):
    """How losses of tokens become the loss of a minibatch."""

    token = "token"
    """The mean over all its tokens: long responses weigh more (PPO; DAPO, arXiv 2503.14476)."""
    sequence = "sequence"
    """The mean over responses of the mean over their tokens (GRPO, arXiv 2402.03300): a token of a
    long response weighs less."""
    constant = "constant"
    """The sum over tokens by responses times the longest length that is sampled (Dr. GRPO, arXiv
    2503.20783): every token weighs the same, whatever the lengths in the minibatch."""
    response = "response"
    """The mean over responses of the sum over their tokens: the loss of whole responses (RLOO,
    arXiv 2402.14740)."""


class OldLogProbs(StrEnum):
    """Where the log-probabilities of the policy that sampled come from."""

    recomputed = "recomputed"
    """A forward pass over the responses, as in training: the first ratio of new to old is 1."""
    sampled = "sampled"
    """What the rollout engine says of its draws: a forward pass less in each iteration."""


class KLEstimator(StrEnum):
    """A KL to the reference as a loss of the new policy, per token."""

    k2 = "k2"
    """Half the squared log-ratio: its gradient is that of the KL for samples of the policy."""
    weighted_k3 = "weighted_k3"
    """The ratio of new to old probability times k3: the gradient of the KL, also off-policy."""
    k3 = "k3"
    """Schulman's k3 without a ratio (GRPO as published): a low-variance value whose gradient is not
    that of KL(policy || reference)."""


ROLES = ("base", "sft", "initial", "result")
"""Policies of a run that a KL reference can name; stages of plugins may make others."""
NESTED = {"terms": "gradient_term", "shaping": "reward_shaping", **EVALUATORS}
"""Fields of `OnPolicyConfig` that hold components, and their kinds: for `preflab.Component`."""


@dataclass
class KLPenaltyConfig:
    """The per-token KL penalty in the reward."""

    coef: float = option(0.02, "beta, reward per nat (InstructGPT: 0.02)", ge=0)
    controller: Controller = option(
        Controller.fixed, "fixed, or adaptive towards a target (Ziegler et al. 2019)"
    )
    target: float = option(6.0, "adaptive: wanted KL in nats per episode", gt=0)
    horizon: float = option(
        10_000.0,
        "adaptive: episodes in which the coefficient may change by a fifth; more than 5 batches",
        gt=0,
    )
    stop_above: float | None = option(
        None,
        "skip the rest of an iteration's minibatches when the new policy is further than "
        "this many nats per token from the old one; null: never",
        gt=0,
    )
    limit: float | None = option(
        None,
        "end the run (exit code 5) when the KL to the reference is above this many nats per "
        "episode, or clearly below 0, `patience` iterations in a row; null: such iterations are "
        "only counted, as kl/out_of_bounds",
        gt=0,
    )
    patience: int = option(5, "iterations in a row; see limit", ge=1)
    reference: str = option(
        "",
        "what the KL is measured against: empty (the policy that training begins from), a role of "
        "an earlier policy (base, sft), a model folder, or the folder of a run (its last policy)",
        affects_result=False,
    )


@dataclass
class ClipConfig:
    """What is clipped."""

    score: float | None = option(
        None, "reward-model scores beyond +- this are cut, and counted; null: off", gt=0
    )


@dataclass
class RatioClipConfig(ClipConfig):
    """What is clipped, the ratio of new to old probability too."""

    ratio: float = option(0.2, "policy ratio, 1 +- this (InstructGPT: 0.2)", gt=0)


@dataclass
class SamplerConfig:
    """How far the probabilities of an engine that computes in its own way (a serving engine) may be
    from the policy's. What preflab's own engine draws needs neither."""

    limit: float | None = option(
        LIMIT,
        "end the run (exit code 5) when the engine's log-probabilities are further than this from "
        "the policy's, mean over tokens of |difference| in nats; once they were within 1e-5, the "
        "limit is 0.001 (float32 engines are at 1e-6, bfloat16 at 0.004, wrong weights at 0.001 "
        "to 1); null: never",
        gt=0,
    )
    cap: float | None = option(
        None,
        "truncated importance sampling: the policy loss of a token is multiplied by its "
        "probability under the policy over that under the engine, at most this (verl takes 2); "
        "null: off",
        ge=1,
    )


@dataclass
class OnPolicyConfig(TrainedConfig):
    """What every on-policy algorithm does alike: sample, score, judge, update."""

    name: str = option("", "component")
    episodes: int = option(
        256_000,
        "responses sampled in total (InstructGPT: 256k), rounded down to whole batches",
        ge=1,
        fast=16,
    )
    batch: int = option(512, "episodes per iteration (InstructGPT: 512)", ge=1, fast=8)
    minibatch: int = option(64, "episodes per optimizer step (InstructGPT: 64)", ge=1, fast=4)
    epochs: int = option(1, "passes over a rollout batch (InstructGPT: 1)", ge=1)
    kl: KLPenaltyConfig = option(factory=KLPenaltyConfig, doc="penalty against the reference")
    clip: ClipConfig = option(factory=ClipConfig, doc="clipping")
    old_log_probs: OldLogProbs = option(
        OldLogProbs.recomputed,
        "recomputed: by a forward pass as in training; sampled: taken from the rollout engine, a "
        "forward pass less (PPO took 4 to 12 % less CPU time), compared with training on "
        "the first minibatch",
    )
    sampler: SamplerConfig = option(
        factory=SamplerConfig, doc="agreement with an engine that computes in its own way"
    )
    missing_eos_penalty: float = option(
        0.0, "subtracted from the score of a response that was cut at the cap", ge=0
    )
    shaping: dict[str, Any] = option(
        factory=dict, doc="reward shapings in order, before the penalty and the clipping of scores"
    )
    policy: OptimizerConfig = option(
        factory=OptimizerConfig,
        doc="optimizer of the policy; its schedule moves once per iteration",
    )
    terms: dict[str, Any] = option(
        factory=dict, doc="gradient terms added to the policy's gradient, for example ptx"
    )
    ema: float | None = option(
        None,
        "decay per optimizer step of the averaged weights (InstructGPT: 0.992), which are then the "
        "result; null: the last weights are the result",
        gt=0,
        lt=1,
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def needs(self) -> tuple[str, ...]:
        """Prompts to train on and to judge, what scores, and the policy of the KL reference."""
        role = self.kl.reference
        reference = (f"own_policy:{role}",) if role and not names_folder(role) else ()
        return ("prompts", "reward_model", *reference, *super().needs())

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """The policy and its reference, which are asked once for each sampled response, as the
        reward model is (`preflab.memory.Load`). With a KL coefficient of 0 there is no
        reference."""
        references = int(self.kl.coef > 0)
        recomputed = int(self.old_log_probs is OldLogProbs.recomputed)
        own = Load(
            trained=1,
            frozen=references,
            asks=True,
            leaves=True,
            held=Held(averages=int(self.ema is not None)),
            rows=self.minibatch,
            batch=self.batch,
            sampled=self.batch,
            tokens=tokens,
            passes=1 + recomputed + references + 3 * self.epochs,
            scored=0.5,
            steps=self.total_steps(),
        )
        updates = self.epochs * (self.batch // self.minibatch)
        return self.judged(with_terms(own, self.terms, self.minibatch, updates))

    def shared(self) -> tuple[str, ...]:
        """Which frozen networks the policy or a value network has the weights of, where adapters
        are trained: the reference that it begins as."""
        begins_as = self.kl.coef > 0 and self.kl.reference in ("", "initial")
        return ("reference",) if begins_as else ()

    def offloaded(self) -> tuple[str, ...]:
        """What leaves memory during updates (`runtime.offload`). With a coefficient of 0 there is
        no reference."""
        return ("reference", "reward_model") if self.kl.coef > 0 else ("reward_model",)

    def total_steps(self) -> int:
        """Iterations."""
        return self.episodes // self.batch

    def check(self) -> Iterator[tuple[str, str]]:
        """Batches divide, and the adaptive controller cannot turn its coefficient negative."""
        yield from super().check()
        yield from self._reference()
        if self.minibatch > self.batch or self.batch % self.minibatch:
            yield "minibatch", f"is {self.minibatch} but must divide batch ({self.batch})"
        if self.old_log_probs is OldLogProbs.sampled and self.sampler.cap is not None:
            yield (
                "sampler.cap",
                "weighs tokens by the policy's probability over the engine's, and "
                "old_log_probs=sampled takes the engine's for the policy's: leave one of them out",
            )
        if self.episodes < self.batch:
            yield "episodes", f"is {self.episodes} but must be at least batch ({self.batch})"
        if self.kl.controller is Controller.adaptive and self.kl.coef == 0:
            yield (
                "kl.coef",
                "is 0 but must be > 0 with controller=adaptive: it multiplies the coefficient",
            )
        if self.kl.controller is Controller.adaptive and self.batch >= 5 * self.kl.horizon:
            yield (
                "kl.horizon",
                f"is {self.kl.horizon} but must be more than batch / 5 ({self.batch / 5})",
            )

    def _reference(self) -> Iterator[tuple[str, str]]:
        """The reference is not the policy in training, and a path leads somewhere."""
        given = self.kl.reference
        if given.partition("/")[0] == "result":
            yield "kl.reference", f"is {given}, the policy that is being trained: name another"
        elif "/" in given and not given.startswith("sft/") and not names_folder(given):
            yield "kl.reference", f"is {given}, and there is no such folder (from {Path.cwd()})"


def names_folder(reference: str) -> bool:
    """Whether a KL reference is a folder. The name of a role is never one: ``./sft`` is."""
    role = reference.partition("/")[0]
    return bool(reference) and role not in ROLES and Path(reference).expanduser().is_dir()


def whole_groups(config: OnPolicyConfig, samples: int) -> Iterator[tuple[str, str]]:
    """That the responses to one prompt are in one batch, and those of whole prompts in one
    minibatch: what algorithms check that train on some of them."""
    for name in ("batch", "minibatch"):
        if getattr(config, name) % samples:
            yield name, f"is {getattr(config, name)} but must be a multiple of samples ({samples})"
