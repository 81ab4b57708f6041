"""Log-probabilities and scores of whole batches, in micro-batches of rows of similar length.

Shapes: B rows, Q prompt tokens, R response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preflab import likelihood
from preflab.interfaces import Policy, RewardModel
from preflab.records import Rollout
from preflab.runtime import Runtime
from preflab_builtin.causal_lm.losses import target_log_probs


def response_log_probs(
    policy: Policy, rollout: Rollout, temperature: float, runtime: Runtime
) -> torch.Tensor:
    """log pi_tau of every response token given what stands before it, [B, R] float32, 0 outside the responses."""
    found = torch.zeros(
        rollout.response_ids.shape, dtype=torch.float32, device=rollout.response_ids.device
    )
    with torch.no_grad(), runtime.autocast():
        for group in runtime.micro_batches(rollout.by_length()):
            part = rollout.rows(group)
            values = likelihood.response_log_probs(policy, part, temperature)
            found[torch.tensor(group, device=found.device), : values.shape[1]] = values
    return found


def scores(model: RewardModel, rollout: Rollout, runtime: Runtime) -> list[float]:
    """The reward of each row."""
    found = [0.0] * len(rollout)
    with torch.no_grad():
        for group in runtime.micro_batches(rollout.by_length()):
            for i, value in zip(group, model.score(rollout.rows(group)).tolist(), strict=True):
                found[i] = float(value)
    return found


def document_nll(
    policy: Policy, texts: Sequence[str], max_tokens: int, runtime: Runtime
) -> tuple[list[float], list[int]]:
    """Summed negative log-likelihood of each text, its end token included, and the number of predicted tokens. The first
    token is not predicted; texts are cut after ``max_tokens`` tokens."""
    tokenizer = policy.tokenizer
    rows = [[*tokenizer.encode(text), tokenizer.eos_id][:max_tokens] for text in texts]
    sums, counts = [0.0] * len(rows), [len(row) - 1 for row in rows]
    with torch.no_grad(), runtime.autocast():
        for group in runtime.micro_batches(sorted(range(len(rows)), key=lambda i: len(rows[i]))):
            width = max(len(rows[i]) for i in group)
            ids = torch.tensor(
                [rows[i] + [tokenizer.pad_id] * (width - len(rows[i])) for i in group],
                device=runtime.device,
            )
            lengths = torch.tensor([len(rows[i]) for i in group], device=runtime.device)
            mask = torch.arange(width, device=runtime.device)[None, :] < lengths[:, None]
            values = torch.zeros(mask.shape, dtype=torch.float64, device=runtime.device)
            targets = mask & (torch.arange(width, device=runtime.device) > 0)
            values[targets] = target_log_probs(policy, ids, mask, targets).double()
            for i, value in zip(group, values.sum(-1).tolist(), strict=True):
                sums[i] = -value
    return sums, counts
