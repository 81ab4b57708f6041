"""Reward shaping: what an algorithm's config lists between the reward model and the update, in
order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from preflab.errors import PluginError
from preflab.interfaces import RewardShaping

if TYPE_CHECKING:
    import torch

    from preflab.records import Rollout


def shaped(
    shapings: Mapping[str, RewardShaping], scores: torch.Tensor, rollout: Rollout
) -> tuple[torch.Tensor, dict[str, float]]:
    """Scores [B] after every shaping, in the order of the mapping, and ``shaping/NAME``: by how
    much each moved the mean. `PluginError` naming the shaping that does not return a finite number
    a response."""
    metrics: dict[str, float] = {}
    for name, shaping in shapings.items():
        moved = shaping(scores.clone(), rollout)
        if getattr(moved, "shape", None) != scores.shape:
            given = f"the shape {list(moved.shape)}" if hasattr(moved, "shape") else repr(moved)
            raise PluginError(
                f"The reward shaping '{name}' returned {given} for scores of the shape "
                f"{list(scores.shape)}."
            )
        moved = moved.detach().to(scores)
        if not bool(moved.isfinite().all()):
            row = int((~moved.isfinite()).nonzero()[0])
            raise PluginError(
                f"The reward shaping '{name}' made the score {float(scores[row])} of prompt "
                f"{rollout.prompts[row].id!r} {float(moved[row])}: a score must be finite."
            )
        metrics[f"shaping/{name}"] = float((moved - scores).mean())
        scores = moved
    return scores, metrics
