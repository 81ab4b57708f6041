"""What models say of given responses. Shapes: B rows, Q prompt tokens, R response tokens, D width,
N response tokens in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab.records import Rollout

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import Backbone, Policy, ScalarModel


def response_states(model: Backbone, rows: Rollout) -> torch.Tensor:
    """Hidden states [N, D] from which the response tokens are predicted and their states are
    valued, row by row: slot Q - 1 + t is before response token t. A prompt that several rows
    share is read once."""
    import torch

    width, mask = rows.prompt_ids.shape[1], rows.response_mask
    wanted = torch.zeros_like(rows.mask)
    wanted[:, width - 1 : width - 1 + mask.shape[1]] = mask
    return model.hidden_at(rows.input_ids, rows.mask, wanted, prompt_width=width)


def response_log_probs(policy: Policy, rows: Rollout, temperature: float = 1.0) -> torch.Tensor:
    """log pi_tau of each response token given what precedes it, [B, R] float32; zero outside
    the responses. Summed over a row it is the log-probability of the response, its end token
    included."""
    return response_log_probs_and_entropies(policy, rows, temperature, with_entropy=False)[0]


def response_log_probs_and_entropies(
    policy: Policy, rows: Rollout, temperature: float = 1.0, with_entropy: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """`response_log_probs`, and the entropy in nats of each token's distribution (no gradient),
    both [B, R]."""
    mask = rows.response_mask
    numbers = policy.log_probs(
        response_states(policy, rows), rows.response_ids[mask], temperature, with_entropy
    )
    log_probs, entropies = (_in_place(values, mask) for values in numbers)
    return log_probs, entropies


def response_values(model: ScalarModel, rows: Rollout) -> torch.Tensor:
    """The model's number, less its offset, before each response token, [B, R] float32; zero outside
    the responses."""
    return _in_place(model.values(response_states(model, rows)) - model.offset, rows.response_mask)


def _in_place(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """values [N] of the true places of mask [B, R] -> [B, R], zero elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
