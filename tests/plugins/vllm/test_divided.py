"""A server that is given weights of which each process has a part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.fsdp
import torch.distributed.tensor
from safetensors.torch import load_file

from preflab.engine.comparing import prepared
from preflab.interfaces import Policy
from preflab.launched import is_main
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sampling import Agreement
from preflab.sharding import is_sharded
from preflab_vllm.config import VLLMConfig
from preflab_vllm.engine import VLLMEngine
from preflab_vllm.server import Server, write
from processes import trained
from support import FakeContext
from tiny_ppo import PROMPTS
from tiny_vllm import tiny_policy, tiny_run
from vllm_standin import StandIn, serving

pytestmark = pytest.mark.slow

FULL = RuntimeConfig(device=Device.cpu, threads=1, micro_batch=2, sharding=Sharding.full)


@dataclass(frozen=True)
class Served:
    """PPO that samples from a server, ready for `processes.trained`; leaves rows.json."""

    address: str
    sharding: Sharding

    def __call__(self, folder: Path) -> None:
        runtime = Runtime(RuntimeConfig(**{**vars(FULL), "sharding": self.sharding}))
        config = VLLMConfig(server=self.address, max_tokens=6, requests=1)
        engine = VLLMEngine(config, runtime, Server(config, runtime))
        procedure = tiny_run(folder, prepared(engine, runtime, Agreement()), runtime=runtime)
        rows = [dict(procedure.step(i)) for i in range(3)]
        # Process 0 has no prompt, and process 1 samples what both compare.
        policy = procedure.policy
        assert is_sharded(policy.module) is (self.sharding is Sharding.full)
        alone = prepared(engine, runtime, Agreement())
        assert len(alone.generate(policy, PROMPTS[:1], engine.sampling, (1, "alone"))) == 1
        if is_main():
            (folder / "rows.json").write_text(json.dumps(rows))


@pytest.mark.reliability
def test_two_processes_with_divided_weights_sample_from_a_server_as_one_does(
    tmp_path: Path,
) -> None:
    told: list[list[dict[str, float]]] = []
    for processes, sharding in ((1, Sharding.none), (2, Sharding.full)):
        standin, folder = StandIn(tiny_policy(tmp_path)), tmp_path / str(processes)
        with serving(standin) as address:
            trained(Served(address, sharding), folder, processes)
        told.append(json.loads((folder / "rows.json").read_text()))
        assert standin.loads == 4  # once an iteration, and once for the policy at the end
    for one, two in zip(*told, strict=True):
        assert two["sampler/max_difference"] < 1e-5
        for name in one.keys() - {k for k in one if k.startswith("time/")}:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-4), name


@dataclass(frozen=True)
class Written:
    """Writes the weights of a policy, and of one with adapters, as a server gets them: whole-NAME
    and parts-NAME with a version each."""

    def __call__(self, folder: Path) -> None:
        for name, policy in self.policies(folder):
            before = policy.version
            if is_main():
                self.write(policy, folder / f"whole-{name}")
            Runtime(FULL).shard(policy.module)
            assert is_sharded(policy.module)
            assert policy.version == before
            self.write(policy, folder / f"parts-{name}")

    def policies(self, folder: Path) -> Iterator[tuple[str, Policy]]:
        yield "plain", tiny_policy(folder, width=32)
        context = FakeContext(folder, [], policy_config={"lora": {"rank": 2}})
        context.policy("initial").save(folder / "initial")  # process 0 writes it
        Runtime(FULL).gather([0])
        frozen: Any = context.load_policy(folder / "initial")
        adapted = frozen.adapted(torch.Generator().manual_seed(3))
        with torch.no_grad():
            for parameter in adapted.module.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1)
        yield "adapted", adapted

    def write(self, policy: Policy, to: Path) -> None:
        to.mkdir(parents=True, exist_ok=True)
        if is_main():
            write(policy, to, most=20_000)
        else:
            list(policy.weights())


def test_gathered_weights_are_the_whole_ones_by_name_and_bit(tmp_path: Path) -> None:
    folder = trained(Written(), tmp_path / "written", 2)
    for name in ("plain", "adapted"):
        whole, parts = (_read(folder / f"{kind}-{name}") for kind in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert "lm_head.weight" in whole  # tied: each of its names
        assert not any("lora" in key for key in whole)
        assert all(torch.equal(whole[key], parts[key]) for key in whole)


def _read(folder: Path) -> dict[str, torch.Tensor]:
    """Of several files: a piece has at most 20,000 bytes, or one tensor."""
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 1
    read = [load_file(file) for file in files]
    assert all(len(one) == 1 or sum(t.nbytes for t in one.values()) <= 20_000 for one in read)
    return {key: tensor for one in read for key, tensor in one.items()}
