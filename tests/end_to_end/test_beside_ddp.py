"""Two processes, with whole weights and with divided ones, beside two that train the same rows in a
plain loop of torch's DistributedDataParallel and transformers' own forward pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

# Imported once, before processes are forked.
import torch.distributed.fsdp
import torch.distributed.tensor
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from transformers.models.gpt2 import modeling_gpt2  # noqa: F401

from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Demonstration, Prompt
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import gathered, is_sharded
from preflab_builtin.sft.config import LossOn, SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from processes import trained
from support import WORDS, FakeContext, largest_difference

pytestmark = pytest.mark.slow

STEPS = 3
# Without a clip, which would hide that a gradient is twice as large.
OPTIMIZER = OptimizerConfig(
    lr=1e-3, eps=1e-5, clip=None, weight_decay=0.01, schedule=Schedule.constant, warmup=0
)
ROWS = [
    Demonstration(Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 4])), " ".join(WORDS[i : i + 1 + i % 6]))
    for i in range(11)
]
Tensors = dict[str, torch.Tensor]


class Plain:
    """The same loss in a loop of torch's own. DDP means gradients over processes, so that each
    process multiplies its sum by their number; all of them are divided by the tokens of all."""

    def __init__(self, module: Any) -> None:
        self.module = DistributedDataParallel(module)
        self.optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=OPTIMIZER.lr,
            betas=(OPTIMIZER.beta1, OPTIMIZER.beta2),
            eps=OPTIMIZER.eps,
            weight_decay=OPTIMIZER.weight_decay,
        )

    def step(self, rows: list[dict[str, Any]], rank: int, world: int) -> None:
        """rows: of all processes, with their tokens and which carry loss."""
        mine = rows[rank::world]
        width = max(len(row["ids"]) for row in mine)
        ids, targets = (torch.full((len(mine), width), fill) for fill in (0, -100))
        mask = torch.zeros_like(ids)
        for i, row in enumerate(mine):
            own, loss = torch.tensor(row["ids"]), torch.tensor(row["loss"])
            ids[i, : len(own)], mask[i, : len(own)] = own, 1
            targets[i, : len(own)] = own.masked_fill(~loss, -100)
        logits = self.module(input_ids=ids, attention_mask=mask).logits
        predicted, wanted = logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
        total = cross_entropy(predicted, wanted, ignore_index=-100, reduction="sum")
        tokens = sum(sum(row["loss"]) for row in rows)
        torch.autograd.backward(world * total / tokens)

    def update(self) -> None:
        """Take the step."""
        self.optimizer.step()
        self.optimizer.zero_grad()


def beside(folder: Path) -> None:
    """Leaves the largest differences of a gradient and of a weight, for each way to
    divide weights; and how far these have moved."""
    found = {how.value: differences(folder, how) for how in Sharding}
    (folder / f"{Runtime(RuntimeConfig(device=Device.cpu)).rank}.json").write_text(
        json.dumps(found)
    )


def differences(folder: Path, sharding: Sharding) -> dict[str, float]:
    context = FakeContext(folder, ROWS, policy_config={"family": "gpt2"})
    context.runtime = runtime = Runtime(
        RuntimeConfig(device=Device.cpu, threads=1, micro_batch=2, sharding=sharding)
    )
    # 5 rows a step: our processes read 2 and 3 in passes of 2, those of the plain loop 3 and 2.
    config = SFTConfig(steps=STEPS, batch=5, loss_on=LossOn.full, optimizer=OPTIMIZER)
    ours = SupervisedFineTuning(config, context)
    policy: Any = context.policy("base")
    start = {name: weight.clone() for name, weight in policy.module.state_dict().items()}
    plain = Plain(policy.module)
    assert is_sharded(ours.policy.module) == (sharding is Sharding.full)
    taken: list[Tensors] = []

    def take(*_: Any) -> None:
        named: Any = ours.policy.module.named_parameters()
        taken.append({name: gathered(p.grad.clone()) for name, p in named})

    ours.optimization.optimizer.register_step_pre_hook(take)
    furthest = {"gradient": 0.0, "weight": 0.0}
    for step in range(STEPS):
        plain.step(ours.batch(step)["demonstrations"], runtime.rank, runtime.world)
        expected = {n: p.grad.clone() for n, p in policy.module.named_parameters()}
        plain.update()
        ours.step(step)
        pairs = {
            "gradient": (taken[step], expected),
            "weight": (gathered(ours.policy.module.state_dict()), policy.module.state_dict()),
        }
        for what, pair in pairs.items():
            furthest[what] = max(furthest[what], largest_difference(*pair))
    return furthest | {"moved": largest_difference(start, policy.module.state_dict())}


def test_gradients_and_weights_are_those_of_ddp(tmp_path: Path) -> None:
    """Rows of uneven length: the mean over all tokens is not the mean of the processes' means."""
    folder = trained(beside, tmp_path / "two", 2)
    for rank in (0, 1):
        for how, found in json.loads((folder / f"{rank}.json").read_text()).items():
            assert found["moved"] > 1e-3, how
            assert found["gradient"] <= 1e-5, how
            assert found["weight"] <= 1e-5, how
