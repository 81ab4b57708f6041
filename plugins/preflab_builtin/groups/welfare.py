"""What the rewards of several groups become. Shapes: B rows, G groups.

Rewards of two groups have no common zero: a head may give every response to a prompt one more, and
its rankings are fitted as well. A weighted sum is as good as before (each prompt's rewards move
together), but the lowest of the raw rewards would be always that of the same group. So there is
no function here that takes it: `worst` centres within each prompt first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from preflab_builtin.groups.config import Welfare


def group_weights(
    welfare: Welfare, names: Sequence[str], shares: Sequence[float], given: Mapping[str, float]
) -> list[float]:
    """Weights of the groups, which add up to 1. shares: of the rankings; given: by name, for
    `Welfare.weights`. `Welfare.worst` has no weights: what stands for it where a prompt has one
    response only are equal ones."""
    if welfare is Welfare.population:
        raw = list(shares)
    elif welfare is Welfare.weights:
        raw = [given.get(name, 0.0) for name in names]
    else:
        raw = [1.0] * len(names)
    total = sum(raw)
    return [weight / total for weight in raw]


def weighted(rewards: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """The weighted sum [B] of the groups' rewards [B, G]."""
    return rewards @ rewards.new_tensor(list(weights))


def weighted_by_tag(
    rewards: torch.Tensor,
    tags: Sequence[Sequence[str]],
    weights: Sequence[float],
    by_tag: Mapping[str, Sequence[float]],
) -> torch.Tensor:
    """The weighted sum [B] of the groups' rewards [B, G]. tags: of each row's prompt; by_tag:
    weights for prompts with a tag, of which several are averaged; weights: for all other rows."""
    rows = []
    for own in tags:
        found = [by_tag[tag] for tag in own if tag in by_tag] or [weights]
        rows.append([sum(column) / len(found) for column in zip(*found, strict=True)])
    return (rewards * rewards.new_tensor(rows).reshape(rewards.shape)).sum(1)


def same_scale(spreads: Sequence[float]) -> list[float]:
    """What to multiply each group's rewards by, so that all have the same standard deviation over
    the responses to a prompt: the mean of their own, which leaves the unit of their sum.

    >>> same_scale([1.0, 3.0])
    [2.0, 0.6666666666666666]
    """
    usual = sum(spreads) / len(spreads)
    return [usual / spread for spread in spreads]


def centred(rewards: torch.Tensor, prompts: Sequence[object]) -> torch.Tensor:
    """Rewards [B, G] less each group's mean over the rows of the same prompt. prompts: B keys,
    equal for rows of one prompt."""
    index = _indices(prompts, rewards.device)
    count = torch.bincount(index).to(rewards.dtype)[:, None]
    sums = rewards.new_zeros(len(count), rewards.shape[1]).index_add_(0, index, rewards)
    return rewards - (sums / count)[index]


def worst(rewards: torch.Tensor, prompts: Sequence[object]) -> torch.Tensor:
    """The lowest [B] of the groups' rewards [B, G], centred within each prompt.

    A prompt with one row has nothing to be centred on (each group's centred reward is 0): its row
    gets the mean of the groups' rewards instead."""
    index = _indices(prompts, rewards.device)
    alone = torch.bincount(index)[index] == 1
    return torch.where(alone, rewards.mean(1), centred(rewards, prompts).amin(1))


def _indices(prompts: Sequence[object], device: torch.device) -> torch.Tensor:
    """Rows of one prompt have one number, from 0 in the order of appearance."""
    numbers = {key: i for i, key in enumerate(dict.fromkeys(prompts))}
    return torch.tensor([numbers[key] for key in prompts], dtype=torch.long, device=device)
