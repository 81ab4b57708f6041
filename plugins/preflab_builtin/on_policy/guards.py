"""What stops an algorithm before a wrong number trains: scores, experience, the first ratio, the KL
to the reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from preflab.errors import NumericError
from preflab.interfaces import Policy, State
from preflab.likelihood import response_log_probs
from preflab.records import Rollout
from preflab.runtime import Runtime
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.experience import Experience

REPEATED_PASS_TOLERANCE = 1e-5
"""Largest difference, in nats per token, between two forward passes over the same tokens with the
same weights."""


def require_finite_scores(algorithm: str, raw: torch.Tensor, rollout: Rollout) -> None:
    """`NumericError` naming the first prompt whose raw score [B] is not finite. Checked before
    clipping, which would turn an infinite score into a number. algorithm: its name."""
    for row in (~torch.isfinite(raw)).nonzero().flatten().tolist()[:1]:
        raise NumericError(
            f"algorithm={algorithm}: the scores of prompt {rollout.prompts[row].id!r} are not "
            f"finite ({float(raw[row])}). No weight was changed."
        )


def require_finite_experience(algorithm: str, experience: Experience) -> None:
    """`NumericError` naming the first prompt with a value that is not finite, before anything is
    trained on it."""
    tensors = experience.tensors()
    for name in ("scores", "log_probs", "log_ratio", "values", "advantages"):
        values = tensors.get(name)
        if values is not None and not bool(torch.isfinite(values).all()):
            row = int((~torch.isfinite(values)).reshape(len(values), -1).any(-1).nonzero()[0])
            prompt = experience.rollout.prompts[row]
            raise NumericError(
                f"algorithm={algorithm}: the {name.replace('_', '-')} of prompt {prompt.id!r} are "
                "not finite. No weight was changed."
            )


def require_first_ratio_one(
    where: str,
    policy: Policy,
    batch: Experience,
    deviation: float,
    temperature: float,
    runtime: Runtime,
) -> None:
    """Before an iteration's first step no weight has changed since its rollout, so every ratio of
    new to old probability is 1. `NumericError` that says which forward pass does not repeat, if it
    is not. where: algorithm and iteration; deviation: largest distance from 1 in this process;
    batch: the micro-batch with it."""
    cause = ""
    if max(runtime.gather([deviation])) > REPEATED_PASS_TOLERANCE:  # every process reads again
        cause = unrepeatable_pass(policy, batch, temperature, runtime)
    deviation, cause = max(runtime.gather([(deviation, cause)]))
    if cause:
        raise NumericError(
            f"{where}: before any update the ratio of new to old probability is off "
            f"1 by {deviation:.1e}; at most {REPEATED_PASS_TOLERANCE} is allowed. {cause} "
            "No weight was changed."
        )


def unrepeatable_pass(
    policy: Policy, batch: Experience, temperature: float, runtime: Runtime
) -> str:
    """Which forward pass over these rows does not repeat, in words. Both are done again: the one
    after the rollout (without gradient) and the one of training."""
    old, mask = batch.log_probs, batch.mask
    with runtime.autocast():
        trained = response_log_probs(policy, batch.rollout, temperature).detach()
        with torch.no_grad():
            sampled = response_log_probs(policy, batch.rollout, temperature)
    rollout_repeats, both_agree = (
        bool(((a - b).abs() * mask).max() <= REPEATED_PASS_TOLERANCE)
        for a, b in ((sampled, old), (trained, sampled))
    )
    row = int(((trained - old).abs() * mask).amax(-1).argmax())
    where = f"(most for prompt {batch.rollout.prompts[row].id!r})"
    if rollout_repeats:
        return (
            "The forward pass after the rollout repeats, the one of training gives other numbers "
            f"{where}: is dropout on in it?"
        )
    if both_agree:
        return (
            "Both forward passes agree now, but not with the stored one of the rollout "
            f"{where}: what changed weights or rows since?"
        )
    return (
        "Neither the forward pass after the rollout nor the one of training repeats "
        f"{where}: is a kernel random, or dropout on?"
    )


@dataclass
class KLBounds:
    """Counts the iterations in a row with a KL to the reference that is out of bounds, and ends the
    run if the config says so. iterations: the count so far, part of the state."""

    config: KLPenaltyConfig
    iterations: int = 0

    def check(self, where: str, experience: Experience) -> dict[str, float]:
        """Count this iteration; `NumericError` at ``kl.patience`` of them if ``kl.limit`` is
        set."""
        limit, problem = self.config.limit, kl_problem(experience, self.config.limit)
        self.iterations = self.iterations + 1 if problem else 0
        if limit is not None and self.iterations >= self.config.patience:
            raise NumericError(
                f"{where}: the KL to the reference has been out of bounds for "
                f"{self.iterations} iterations; it is {problem}. No weight was changed. Raise "
                "kl.coef or lower the learning rate, or raise kl.limit."
            )
        return {"kl/out_of_bounds": float(self.iterations)}


def kl_problem(experience: Experience, limit: float | None) -> str:
    """How the KL to the reference is out of bounds, in words; "" if it is not. A KL is not
    negative: an estimate more than three standard errors of the batch's mean below 0 says that the
    policy did not draw these samples."""
    kl = experience.kl
    mean, error = float(kl.mean()), float(kl.std(correction=0)) / len(kl) ** 0.5
    if limit is not None and mean > limit:
        return f"{mean:.3g} nats per episode, above kl.limit={limit:g}"
    if mean < -max(3 * error, 1e-3):
        return (
            f"{mean:.3g} nats per episode, and the mean over samples of the policy itself cannot "
            "be so far below 0"
        )
    return ""


def failed_batch(rollout: Rollout, raw: torch.Tensor, experience: Experience | None) -> State:
    """A rollout, its raw scores [B] and what was computed from them: what is kept of an iteration
    that ended in a `NumericError`."""
    rows = [
        {"prompt_id": prompt.id, "prompt": prompt.text, "response": text, "ids": [*ids]}
        for prompt, text, ids in zip(rollout.prompts, rollout.texts, rollout.tokens(), strict=True)
    ]
    return {"rows": rows, "raw_scores": raw} | (experience.tensors() if experience else {})
