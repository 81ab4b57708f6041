"""What is measured: model sizes, the shape of each measurement, and the ratio each has to reach.
No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SEED = 1
LEARNING_RATE = 1e-5
NAMES = ("ppo_iteration", "rollout", "rollout_ragged", "reward_model", "sft")
"""In the order of measuring; ``ppo_peak_memory`` comes out of ``ppo_iteration``."""


@dataclass(frozen=True)
class Size:
    """A causal LM. width: D; mlp: width of the MLP's hidden layer; family gpt2 has two MLP
    matrices, llama three."""

    name: str
    family: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    mlp: int
    vocabulary: int
    positions: int


SIZES: Mapping[str, Size] = {
    "tiny": Size("tiny", "gpt2", 4, 128, 4, 4, 512, 2048, 512),
    "small": Size("small", "gpt2", 6, 384, 6, 6, 1536, 2048, 512),
    "smol": Size("smol", "llama", 30, 576, 9, 3, 1536, 49152, 2048),
    "smol_full": Size("smol_full", "llama", 30, 576, 9, 3, 1536, 49152, 2048),
}
ON: Mapping[str, tuple[str, ...]] = {
    "cpu": ("tiny", "small", "smol"),
    "cuda": ("tiny", "small", "smol_full"),
}
"""Sizes that are measured if none is asked for. smol does less of everything than the others, or
nobody would wait for it on a laptop; smol_full is the same model at the work of the others."""


@dataclass(frozen=True)
class PPOShape:
    """One PPO iteration with one epoch: episodes, tokens of a prompt and of a response,
    minibatches."""

    batch: int
    prompt: int
    response: int
    minibatches: int


@dataclass(frozen=True)
class RolloutShape:
    """One call of the sampler: rows, tokens of a prompt, and of a response at most."""

    batch: int
    prompt: int
    response: int


@dataclass(frozen=True)
class RankingShape:
    """One step of the reward model: ranked prompts, completions of each, tokens of a prompt and
    of a completion (its end token included). pieces: passes that the peer's step is divided into,
    because its pairs do not fit into memory together."""

    prompts: int
    k: int
    prompt: int
    response: int
    pieces: int = 1

    @property
    def pairs(self) -> int:
        """Pairs of one ranked prompt."""
        return self.k * (self.k - 1) // 2


@dataclass(frozen=True)
class SFTShape:
    """One SFT step: demonstrations with lognormal(mu, sigma) tokens, clipped. pieces: as in
    `RankingShape`."""

    batch: int
    mu: float = 4.2
    sigma: float = 0.7
    shortest: int = 16
    longest: int = 256
    pieces: int = 1


def ppo_shape(size: str) -> PPOShape:
    """Of a size."""
    return PPOShape(8, 32, 32, 2) if size == "smol" else PPOShape(64, 32, 64, 4)


def rollout_shape(size: str) -> RolloutShape:
    """Of a size."""
    return RolloutShape(16 if size == "smol" else 64, 32, 32 if size == "smol" else 64)


def ranking_shape(size: str) -> RankingShape:
    """Of a size. At smol a step is one prompt, and the peer's 36 pairs are three pieces."""
    return RankingShape(1, 9, 64, 32, pieces=3) if size == "smol" else RankingShape(4, 9, 64, 32)


def sft_shape(size: str) -> SFTShape:
    """Of a size."""
    return SFTShape(32, pieces=4 if size == "smol" else 1)


TARGETS: Mapping[str, Mapping[str, float]] = {
    "ppo_iteration": {"tiny": 2.1, "small": 1.3, "smol": 1.4, "smol_full": 1.4},
    "rollout": {"tiny": 2.7, "small": 1.75, "smol": 1.5, "smol_full": 1.5},
    "rollout_ragged": {"tiny": 4.5, "small": 2.5, "smol": 2.2, "smol_full": 2.2},
    "reward_model": {"tiny": 20.0, "small": 16.0, "smol": 10.0, "smol_full": 10.0},
    "sft": {"tiny": 4.0, "small": 3.0, "smol": 1.5, "smol_full": 1.5},
    "ppo_peak_memory": {"tiny": 1.4, "small": 1.4, "smol": 1.25, "smol_full": 1.25},
}
"""Ratio to the peer, above 1 is better than the peer, by name and size."""
BOUNDS: Mapping[str, str] = {
    "ppo_iteration": "matrix products near the peak, attention, exp and gelu",
    "rollout": "products of 64 rows, and reading keys and values from memory",
    "rollout_ragged": "products of ever fewer rows, and what a step costs whatever its rows",
    "reward_model": "matrix products near the peak",
    "sft": "matrix products near the peak, and at tiny the optimizer and the head",
    "ppo_peak_memory": "four networks, two gradients and four moments, which both sides hold",
}
"""What bounds a measurement that stays below its target, as far as profiles have said."""

STEPS = 15
"""Steps for which there is data; a measurement may take that many, its warm-up included."""
REPEATS: Mapping[str, int] = {"tiny": 9, "small": 5, "smol": 3, "smol_full": 5}
"""Measured units of each side, after one for warm-up."""
STARTUP_TARGET = 1.0
"""CPU seconds that a command without work may take."""
READING_TARGET = 12.0
"""Times the CPU seconds of ``json.loads`` of the same lines that reading rankings may take, before
filters."""
