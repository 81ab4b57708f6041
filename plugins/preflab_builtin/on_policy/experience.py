"""From a rollout batch to what the update needs: log-probs re-forwarded, rewards per token, values
where there is a value network, advantages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch

from preflab.functional import masked_mean, token_rewards
from preflab.interfaces import Policy, RewardShaping, ScalarModel
from preflab.likelihood import response_log_probs, response_log_probs_and_entropies, response_values
from preflab.records import Rollout
from preflab.runtime import Runtime, weight
from preflab.shaping import shaped
from preflab_builtin.on_policy.config import OnPolicyConfig

AdvantageFunction = Callable[
    [torch.Tensor, torch.Tensor | None, torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]
]
"""Rewards [B, R], values [B, R] (None without a value network), mask [B, R] -> advantages [B, R],
and returns [B, R] for the value network's loss (None without one). Rows of one prompt are
consecutive."""


@dataclass(frozen=True)
class Experience:
    """A rollout batch, B rows with R response tokens. Scores are [B], all other tensors [B, R] and
    zero outside the mask."""

    rollout: Rollout
    mask: torch.Tensor
    scores: torch.Tensor
    log_probs: torch.Tensor
    log_ratio: torch.Tensor
    """log pi_old - log ref; zeros without a reference."""
    entropies: torch.Tensor
    """Of each token's distribution; of `sampled` log-probs the estimate - log pi of the token."""
    advantages: torch.Tensor
    values: torch.Tensor | None = None
    """None without a value network, as the returns."""
    returns: torch.Tensor | None = None

    @property
    def kl(self) -> torch.Tensor:
        """[B] the summed log-ratio of each response: an estimate of the KL to the reference, nats
        per episode."""
        return (self.log_ratio * self.mask).sum(-1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rollout"}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def rows(self, index: Sequence[int]) -> Experience:
        """The chosen rows, trimmed to their longest response."""
        rollout = self.rollout.rows(index)
        at, width = torch.as_tensor(index, device=self.mask.device), rollout.response_ids.shape[1]
        chosen = {
            name: x[at, :width] if x.dim() == 2 else x[at] for name, x in self.tensors().items()
        }
        return Experience(rollout, **chosen)


def penalised(
    raw: torch.Tensor,
    rollout: Rollout,
    shapings: Mapping[str, RewardShaping],
    config: OnPolicyConfig,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Raw scores [B] after the shapings, the penalty for responses that were cut, and clipping; and
    their metrics."""
    scores, metrics = shaped(shapings, raw, rollout)
    scores = scores - config.missing_eos_penalty * (~rollout.terminated).float()
    limit = config.clip.score
    if limit is None:
        return scores, metrics
    metrics["objective/scores_clipped"] = float((scores.abs() > limit).float().mean())
    return scores.clamp(-limit, limit), metrics


@dataclass(frozen=True)
class Networks:
    """What judges a rollout: the policy as it was when it sampled, the frozen reference (None: no
    KL), the value network (None: the algorithm has none)."""

    policy: Policy
    reference: Policy | None
    value: ScalarModel | None


def collect(
    rollout: Rollout,
    scores: torch.Tensor,
    networks: Networks,
    micro_batches: Sequence[Sequence[int]],
    temperature: float,
    reward_kl_coef: float,
    advantages_of: AdvantageFunction,
    runtime: Runtime,
    sampled: torch.Tensor | None = None,
) -> Experience:
    """Re-forward a rollout batch through the training path, in the micro-batches of the first
    update, so that its ratio is 1.

    scores [B]: after penalty and clipping. micro_batches: this process's rows; the other processes
    contribute theirs. reward_kl_coef: of the KL in the reward, 0 where it stands in the loss.
    sampled [B, R]: log-probs of the policy that are known; None: it is asked for them."""
    found = torch.zeros(4, *rollout.response_ids.shape, device=runtime.device)
    with torch.no_grad(), runtime.autocast():
        for index in micro_batches:
            rows = rollout.rows(index)
            at, width = torch.as_tensor(index, device=runtime.device), rows.response_ids.shape[1]
            into = found if weight(index) else torch.zeros_like(found)
            log_probs, entropies, values, reference = into
            if sampled is None:
                log_probs[at, :width], entropies[at, :width] = response_log_probs_and_entropies(
                    networks.policy, rows, temperature
                )
            if networks.value is not None:
                values[at, :width] = response_values(networks.value, rows)
            if networks.reference is not None:
                reference[at, :width] = response_log_probs(networks.reference, rows, temperature)
    log_probs, entropies, values, reference = runtime.sum(found)
    if sampled is not None:
        log_probs, entropies = sampled, -sampled
    mask = rollout.response_mask
    log_ratio = torch.zeros_like(log_probs)
    if networks.reference is not None:
        log_ratio = log_probs - reference
    rewards = token_rewards(scores, log_ratio, mask, reward_kl_coef)
    known = None if networks.value is None else values
    advantages, returns = advantages_of(rewards, known, mask)
    return Experience(
        rollout, mask, scores, log_probs, log_ratio, entropies, advantages, known, returns
    )


def described(experience: Experience, raw: torch.Tensor, kl_coef: float) -> dict[str, float]:
    """What dashboards show of an iteration's responses: sums per episode, entropies per token. raw
    [B]: unchanged scores."""
    mask, rollout, kl = experience.mask, experience.rollout, float(experience.kl.mean())
    metrics = {
        "objective/scores": float(raw.mean()),
        "objective/rlhf_reward": float(experience.scores.mean()) - kl_coef * kl,
        "objective/non_score_reward": -kl_coef * kl,
        "objective/entropy": float(masked_mean(experience.entropies, mask)),
        "objective/eos_rate": float(rollout.terminated.float().mean()),
        "objective/length": float(rollout.response_lengths.float().mean()),
        "kl/coef": kl_coef,
    }
    if experience.values is not None and experience.returns is not None:
        metrics["val/explained_variance"] = explained_variance(
            experience.values, experience.returns, mask
        )
    return metrics


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> float:
    """1 - var(returns - values) / var(returns) over masked tokens [B, R]; 1 is perfect, 0 no better
    than the mean."""
    mean = masked_mean(returns, mask)
    error = returns - values
    total = masked_mean((returns - mean) ** 2, mask)
    left = masked_mean((error - masked_mean(error, mask)) ** 2, mask)
    return float(1 - left / total) if float(total) > 0 else float("nan")
