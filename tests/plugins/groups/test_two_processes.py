"""Heads whose rows lie on two processes are trained as on one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from preflab.launched import is_main
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Prompt, Ranking
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab_builtin.groups.config import KwiseGroupsConfig, MeanVarianceConfig
from preflab_builtin.groups.mean_variance import mean_variance_training
from preflab_builtin.groups.training import groups_training
from preflab_builtin.reward_model.config import KwiseConfig
from processes import trained
from support import WORDS, FakeContext

pytestmark = pytest.mark.slow

RANKINGS = [
    Ranking(Prompt(f"p{i}", WORDS[i]), ("please", "red", "bad"), ((0, 1), (1, 2)), group=group)
    for i, group in enumerate(("few", "many") * 4)
]


def training(folder: Path) -> None:
    """Leaves rows.json: the metrics of both kinds of heads by step, validation among them."""
    optimizer = OptimizerConfig(lr=1e-2, schedule=Schedule.constant)
    kwise = KwiseConfig(epochs=1, batch=4, optimizer=optimizer)
    runtime = RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full)
    held_out = [replace(r, prompt=replace(r.prompt, split="validation")) for r in RANKINGS]
    found = {}
    for name in ("mean and variance", "groups"):
        context = FakeContext(folder, [*RANKINGS, *held_out])
        context.runtime = Runtime(runtime)
        policy = context.policy("sft")
        context.runtime.shard(policy.module)  # as one is that was read from a folder
        context.policies["sft"] = policy
        procedure = (
            groups_training(KwiseGroupsConfig(kwise=kwise, head_rate=3.0, shrink=0.0), context)
            if name == "groups"
            else mean_variance_training(MeanVarianceConfig(kwise=kwise), context)
        )
        found[name] = [dict(procedure.step(i)) for i in range(procedure.total_steps)]
    if is_main():
        (folder / "rows.json").write_text(json.dumps(found))


def test_divided_heads_are_trained_as_whole_ones(tmp_path: Path) -> None:
    """Of two heads each process has one: the variance began at its draw there, and not as 1."""
    one, two = (
        json.loads((trained(training, tmp_path / str(n), n) / "rows.json").read_text())
        for n in (1, 2)
    )
    for name, rows in one.items():
        for row, other in zip(rows, two[name], strict=True):
            assert other == pytest.approx(row, rel=1e-4, abs=1e-5), name
