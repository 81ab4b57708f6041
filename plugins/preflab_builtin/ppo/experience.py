"""From a rollout batch to what the update needs: log-probs re-forwarded, rewards a token, values, advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from preflab.errors import NumericError
from preflab.functional import gae, masked_mean, token_rewards, whiten
from preflab.interfaces import Policy, ScalarModel, State
from preflab.likelihood import response_log_probs, response_log_probs_and_entropies, response_values
from preflab.records import Rollout
from preflab.runtime import Runtime
from preflab_builtin.ppo.config import AdvantageConfig

SAME = 1e-5
"""Largest difference of log-probs (nats) between two forward passes that count as the same."""


@dataclass(frozen=True)
class Experience:
    """A rollout batch, B rows with R response tokens: everything is [B, R] but the scores [B]; zero outside the mask."""

    rollout: Rollout
    mask: torch.Tensor
    scores: torch.Tensor
    log_probs: torch.Tensor
    log_ratio: torch.Tensor
    """log pi_old - log ref; zeros without a reference."""
    values: torch.Tensor
    entropies: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them by name."""
        names = (
            "mask",
            "scores",
            "log_probs",
            "log_ratio",
            "values",
            "entropies",
            "advantages",
            "returns",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Networks:
    """What judges a rollout: the policy as it was when it sampled, the frozen reference (None: no KL), the value network."""

    policy: Policy
    reference: Policy | None
    value: ScalarModel


def collect(
    rollout: Rollout,
    scores: torch.Tensor,
    networks: Networks,
    micro_batches: Sequence[Sequence[int]],
    temperature: float,
    kl_coef: float,
    settings: AdvantageConfig,
    runtime: Runtime,
) -> Experience:
    """Re-forward a rollout batch through the training path, in the micro-batches of the first update, so that its ratio is 1.

    scores [B]: after penalty and clipping. micro_batches: rows of this process; the others' come from the other processes.
    """
    shape = rollout.response_ids.shape
    log_probs, reference, values, entropies = (
        torch.zeros(shape, device=runtime.device) for _ in range(4)
    )
    with torch.no_grad(), runtime.autocast():
        for index in micro_batches:
            rows = rollout.rows(index)
            at, width = torch.as_tensor(index, device=runtime.device), rows.response_ids.shape[1]
            log_probs[at, :width], entropies[at, :width] = response_log_probs_and_entropies(
                networks.policy, rows, temperature
            )
            values[at, :width] = response_values(networks.value, rows)
            if networks.reference is not None:
                reference[at, :width] = response_log_probs(networks.reference, rows, temperature)
    log_probs, reference, values, entropies = (
        runtime.sum(x) for x in (log_probs, reference, values, entropies)
    )
    mask = rollout.response_mask
    log_ratio = (
        log_probs - reference if networks.reference is not None else torch.zeros_like(log_probs)
    )
    rewards = token_rewards(scores, log_ratio, mask, kl_coef)
    advantages, returns = gae(rewards, values, mask, settings.gamma, settings.lam)
    if settings.whiten:
        advantages = whiten(advantages, mask)
    experience = Experience(
        rollout, mask, scores, log_probs, log_ratio, values, entropies, advantages, returns
    )
    _check_finite(experience)
    return experience


def seen_batch(rollout: Rollout, raw: torch.Tensor, experience: Experience | None) -> State:
    """A rollout, its raw scores and what followed from them, to be kept if the iteration ends in a `NumericError`."""
    rows = zip(rollout.prompts, rollout.texts, rollout.tokens(), strict=True)
    shown = [
        {"prompt_id": p.id, "prompt": p.text, "response": text, "ids": [*ids]}
        for p, text, ids in rows
    ]
    found = {"rows": shown, "raw_scores": raw}
    return found if experience is None else found | experience.tensors()


def check_rewards(raw: torch.Tensor, rollout: Rollout) -> None:
    """Rewards must be finite before clipping, which would make a number of an infinite one."""
    for row in (~torch.isfinite(raw)).nonzero().flatten().tolist()[:1]:
        raise NumericError(
            f"PPO: the scores of prompt {rollout.prompts[row].id!r} are not finite ({float(raw[row])}). No weight was changed."
        )


def _check_finite(experience: Experience) -> None:
    """Stop before anything is trained on a number that is none."""
    for name in ("scores", "log_probs", "log_ratio", "values", "advantages"):
        values: torch.Tensor = getattr(experience, name)
        if not bool(torch.isfinite(values).all()):
            row = int((~torch.isfinite(values)).reshape(len(values), -1).any(-1).nonzero()[0])
            prompt = experience.rollout.prompts[row]
            raise NumericError(
                f"PPO: the {name.replace('_', '-')} of prompt {prompt.id!r} are not finite. No weight was changed."
            )


def astray(experience: Experience, limit: float | None) -> str:
    """How the KL to the reference is where it must not be, in words; "" if it is not. Below 0 by more than three standard errors
    of the batch's mean it is no chance any more: the samples are not the policy's."""
    kl = (experience.log_ratio * experience.mask).sum(-1)
    mean, error = float(kl.mean()), float(kl.std(correction=0)) / len(kl) ** 0.5
    if limit is not None and mean > limit:
        return f"{mean:.3g} nats an episode, above kl.limit={limit:g}"
    if mean < -max(3 * error, 1e-3):
        return f"{mean:.3g} nats an episode, and the mean over samples of the policy itself cannot be so far below 0"
    return ""


def disagreement(
    policy: Policy,
    experience: Experience,
    rows: Sequence[int],
    temperature: float,
    runtime: Runtime,
) -> str:
    """Which forward pass does not repeat, in words, where the ratio of some rows should be 1 and is not: both are done again,
    the one after the rollout (without gradient) and the one of training."""
    batch = experience.rollout.rows(rows)
    at, width = torch.as_tensor(rows, device=experience.mask.device), batch.response_ids.shape[1]
    old, mask = experience.log_probs[at, :width], experience.mask[at, :width]
    with runtime.autocast():
        trained = response_log_probs(policy, batch, temperature).detach()
        with torch.no_grad():
            sampled = response_log_probs(policy, batch, temperature)
    rollout_repeats, both_agree = (
        bool(((a - b).abs() * mask).max() <= SAME) for a, b in ((sampled, old), (trained, sampled))
    )
    row = int(((trained - old).abs() * mask).amax(-1).argmax())
    shown = f"(most for prompt {batch.prompts[row].id!r})"
    if rollout_repeats:
        return f"The forward pass after the rollout repeats, the one of training gives other numbers {shown}: is dropout on in it?"
    if both_agree:
        return f"Both forward passes agree now, but not with what the rollout kept {shown}: who changed weights or rows since?"
    return f"Neither the forward pass after the rollout nor the one of training repeats {shown}: is a kernel random, or dropout on?"


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> float:
    """1 - var(returns - values) / var(returns) over masked tokens; 1 is perfect, 0 no better than the mean."""
    mean = masked_mean(returns, mask)
    error = returns - values
    total = masked_mean((returns - mean) ** 2, mask)
    left = masked_mean((error - masked_mean(error, mask)) ** 2, mask)
    return float(1 - left / total) if float(total) > 0 else float("nan")
