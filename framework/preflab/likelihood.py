"""What a policy says of given responses. Shapes: B rows, Q prompt tokens, R response tokens, D width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab.functional import token_log_probs
from preflab.records import Rollout

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Policy, Trunk


def response_hidden(model: Trunk, rows: Rollout) -> torch.Tensor:
    """Hidden states [B, R, D] from which the response tokens are predicted and their states are valued: slot Q - 1 + t
    stands before response token t."""
    first = rows.prompt_ids.shape[1] - 1
    return model.hidden(rows.input_ids, rows.mask)[:, first : first + rows.response_ids.shape[1]]


def response_log_probs(policy: Policy, rows: Rollout, temperature: float = 1.0) -> torch.Tensor:
    """log pi_tau of each response token given what stands before it, [B, R] float32; zero outside the responses. Summed over
    a row it is the log-probability of the response, its end token included."""
    logits = policy.logits(response_hidden(policy, rows))
    return token_log_probs(logits, rows.response_ids, temperature) * rows.response_mask
