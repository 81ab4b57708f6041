"""Each loss and its gradient against a loop in float64: one response at a time, without padding, by
the forward pass of transformers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from plugins.preference.test_training import RANKINGS
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.training import Preference
from support import FakeContext, gradients, largest_difference

BETA, MARGIN, LIKED, DISLIKED = 0.4, 0.5, 1.5, 0.75
OPTIONS: dict[Loss, dict[str, float]] = {
    Loss.dpo: {},
    Loss.ipo: {},
    Loss.kto: {"liked_weight": LIKED, "disliked_weight": DISLIKED},
    Loss.simpo: {"margin": MARGIN},
}


def moved(folder: Path, loss: Loss, micro_batch: int) -> Preference:
    """Some way from its reference. GPT-2's layers compute in the format of their weights, Llama's
    norms in float32."""
    options: dict[str, Any] = {"loss": loss, "beta": BETA, "batch": 7, **OPTIONS[loss]}
    config = PreferenceConfig(**options)
    shape = {"family": "gpt2"}
    context = FakeContext(folder, RANKINGS, micro_batch=micro_batch, policy_config=shape)
    procedure = Preference(config, context)
    procedure.reference = procedure._reference_log_probs()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in procedure.policy.module.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return procedure


def by_loop(procedure: Preference, loss: Loss) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of the first step's 7 pairs, and its gradient."""
    start = procedure.context.policy("initial").module
    new, old = (copy.deepcopy(m).double() for m in (procedure.policy.module, start))

    def log_prob(module: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *response]])
        said = module(input_ids=ids).logits.log_softmax(-1)[0]
        each = [said[len(prompt) - 1 + t, token] for t, token in enumerate(response)]
        return torch.stack(each).sum()

    def ratio(prompt: tuple[int, ...], response: tuple[int, ...]) -> torch.Tensor:
        return log_prob(new, prompt, response) - log_prob(old, prompt, response).detach()

    batch = procedure._drawn(0)
    others = [procedure.others[i] for i in batch] if loss is Loss.kto else []
    off = [ratio(other.prompt, r).detach() for other in others for r in other.responses]
    kl = torch.stack(off).mean().clamp(min=0) if off else torch.zeros(())
    total = torch.zeros((), dtype=torch.float64)
    for pair in (procedure.pairs[i] for i in batch):
        better, worse = pair.responses
        if loss is Loss.simpo:  # equation 6: means over tokens, no reference
            a, b = (log_prob(new, pair.prompt, r) / len(r) for r in (better, worse))
            total = total - logsigmoid(BETA * (a - b) - MARGIN)
            continue
        a, b = ratio(pair.prompt, better), ratio(pair.prompt, worse)
        if loss is Loss.dpo:  # equation 7
            total = total - logsigmoid(BETA * (a - b))
        elif loss is Loss.ipo:  # equation 17
            total = total + (a - b - 1 / (2 * BETA)) ** 2
        else:  # equations 7 and 8, the mean of both sides
            liked = LIKED * (1 - torch.sigmoid(BETA * (a - kl)))
            total = total + (liked + DISLIKED * (1 - torch.sigmoid(BETA * (kl - b)))) / 2
    mean = total / len(batch)
    torch.autograd.backward(mean)
    return float(mean.detach()), gradients(new)


@pytest.mark.parametrize("loss", list(Loss))
def test_loss_and_gradient_are_those_of_the_loop(loss: Loss, tmp_path: Path) -> None:
    """7 pairs in passes of 1, of 3 and of all."""
    value, wanted = by_loop(moved(tmp_path, loss, 64), loss)
    size = max(float(g.abs().max()) for g in wanted.values())
    assert size > 1e-2
    for pairs in (1, 3, 7):
        procedure = moved(tmp_path, loss, 2 * pairs)
        batch = procedure._drawn(0)
        kl = procedure._reference_point(batch)
        sums = torch.zeros(4)
        for part in procedure._micro_batches(batch):
            sums += procedure._backward(part, len(batch), kl)
        assert float(sums[0]) / len(batch) == pytest.approx(value, rel=1e-5)
        found = gradients(procedure.policy.module)
        assert largest_difference(found, {k: g.float() for k, g in wanted.items()}) < 1e-6 * max(
            1.0, size
        )
