"""Scoring responses with a scalar network: the value at the last response token."""

from __future__ import annotations

from pathlib import Path

import torch

from preflab.interfaces import Context, HeadsModel, ScalarModel
from preflab.records import Rollout
from preflab.runtime import Runtime, weight
from preflab_builtin.reward_model.config import KwiseConfig, PretrainedRewardConfig
from preflab_builtin.reward_model.folder import located


def last_values(model: ScalarModel | HeadsModel, rows: Rollout) -> torch.Tensor:
    """Raw scores [B] float32 ([B, G] of a model with several heads) at the last token of each
    response (of the prompt, if the response is empty), found by the stored lengths. A prompt that
    several rows share is read once."""
    width = rows.prompt_ids.shape[1]
    last = torch.zeros_like(rows.mask).scatter_(
        1, (width + rows.response_lengths - 1)[:, None], True
    )
    return model.values(model.hidden_at(rows.input_ids, rows.mask, last, prompt_width=width))


def by_prompt(rollout: Rollout) -> list[int]:
    """Rows in the order of their prompt's length, answers to one prompt together: a micro-batch
    reads it once."""
    prompts, lengths = rollout.prompt_lengths.tolist(), rollout.response_lengths.tolist()
    return sorted(
        range(len(rollout)), key=lambda i: (prompts[i], rollout.prompts[i].text, lengths[i], i)
    )


def raw_scores(model: ScalarModel | HeadsModel, rollout: Rollout, runtime: Runtime) -> torch.Tensor:
    """Raw scores [B] float32 ([B, G] of a model with several heads), without gradient, in
    micro-batches of like prompts. Every process takes part: each scores some rows, and all know all
    scores."""
    names = getattr(model, "names", None)
    heads = () if names is None else (len(names),)
    scores = torch.zeros(len(rollout), *heads, device=runtime.device)
    with torch.no_grad(), runtime.autocast():
        for index in runtime.read(by_prompt(rollout)):
            values = last_values(model, rollout.rows(index))
            if weight(index):
                scores[torch.as_tensor(index, device=scores.device)] = values
    return runtime.sum(scores)


class NetworkReward:
    """`preflab.interfaces.RewardModel`: a frozen scalar network, minus its stored offset."""

    def __init__(self, network: ScalarModel, runtime: Runtime) -> None:
        self.network, self.runtime = network, runtime
        network.module.requires_grad_(False)

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        # Nothing, where each process has read its part of it.
        self.runtime.shard(self.network.module)
        return raw_scores(self.network, rollout, self.runtime) - self.network.offset


def trained(config: KwiseConfig, context: Context) -> NetworkReward:
    """The reward model that the stage made."""
    return _read(context.folder / "model", context)


def pretrained(config: PretrainedRewardConfig, context: Context) -> NetworkReward:
    """The reward model in a folder."""
    return _read(located(config), context)


def _read(folder: Path, context: Context) -> NetworkReward:
    with context.runtime.dividing():
        return NetworkReward(context.load_scalar(folder), context.runtime)
