"""Log-probabilities and scores of many rows, computed in micro-batches of rows of similar length.

Shapes: B rows, R response tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflab.interfaces import Policy, RewardModel
from preflab.likelihood import response_log_probs
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime, weight

if TYPE_CHECKING:
    import torch


def batched_log_probs(
    policy: Policy, rollout: Rollout, temperature: float, runtime: Runtime
) -> torch.Tensor:
    """`preflab.likelihood.response_log_probs` of all rows without gradient: [B, R] float32. Every
    process takes part."""
    import torch

    log_probs = torch.zeros(
        rollout.response_ids.shape, dtype=torch.float32, device=rollout.response_ids.device
    )
    with torch.no_grad(), runtime.autocast():
        for group in runtime.read(rollout.by_length()):
            values = response_log_probs(policy, rollout.rows(group), temperature)
            if weight(group):
                at = torch.tensor(group, device=log_probs.device)
                log_probs[at, : values.shape[1]] = values
    return runtime.sum(log_probs)


def question(prompt: Prompt) -> tuple[str, str]:
    """What makes two prompts one: the id, and the text, since another file may have given the same
    id to another prompt. Equal texts with two ids were drawn twice: they are two."""
    return prompt.id, prompt.text


def questions(rollout: Rollout) -> list[str]:
    """What each row answers: rows with one prompt depend on each other, and are one unit of an
    interval."""
    return [prompt.id for prompt in rollout.prompts]


def range_of(model: RewardModel) -> tuple[float, float]:
    """The least and the most that it gives; a model with a range has the attributes ``least`` and
    ``most``."""
    return getattr(model, "least", -math.inf), getattr(model, "most", math.inf)


def scores(model: RewardModel, rollout: Rollout) -> list[float]:
    """The reward of each row. Every process takes part, and a network divides the rows among
    them."""
    import torch

    with torch.no_grad():
        return [float(value) for value in model.score(rollout).tolist()]


def document_nll(
    policy: Policy, texts: Sequence[str], max_tokens: int, runtime: Runtime, prefix: str = ""
) -> tuple[list[float], list[int]]:
    """Of each text: its negative log-likelihood in nats, summed over its tokens and its end token,
    and the number of these tokens. The first token is not predicted and not counted; texts are cut
    to ``max_tokens`` tokens, or to what the policy's positions leave for them. prefix: is read in
    front of each text; the same tokens are counted as without it. Every process takes part."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from preflab_builtin.causal_lm.losses import target_log_probs

    tokenizer, device = policy.tokenizer, runtime.device
    whole = [tokenizer.encode_document(prefix + text) for text in texts]
    own = [len(tokenizer.encode_document(text)) for text in texts] if prefix else [*map(len, whole)]
    first = [len(row) - n for row, n in zip(whole, own, strict=True)]
    most = min(max_tokens, (policy.max_positions or math.inf) - max(first, default=0))
    counts = [int(min(n, most)) - 1 for n in own]
    rows = [row[: at + n + 1] for row, at, n in zip(whole, first, counts, strict=True)]
    sums = torch.zeros(len(rows), dtype=torch.float64, device=device)
    with torch.no_grad(), runtime.autocast():
        for group in runtime.read(sorted(range(len(rows)), key=lambda i: len(rows[i]))):
            tokens = [torch.tensor(rows[i], device=device) for i in group]
            ids = pad_sequence(tokens, batch_first=True, padding_value=tokenizer.pad_id)
            lengths = torch.tensor([len(rows[i]) for i in group], device=device)
            before = torch.tensor([first[i] for i in group], device=device)
            slots = torch.arange(ids.shape[1], device=device)
            mask = slots < lengths[:, None]
            targets = mask & (slots > before[:, None])
            values = torch.zeros(mask.shape, dtype=torch.float64, device=device)
            values[targets] = target_log_probs(policy, ids, mask, targets).double()
            if weight(group):
                sums[torch.tensor(group, device=device)] = -values.sum(-1)
    return runtime.sum(sums).tolist(), counts
