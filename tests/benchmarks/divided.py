"""Memory and time of a process in the update, with divided weights and without: python
tests/benchmarks/divided.py. Memory is the peak beyond what the process held before it had a model,
while AdamW trains it on a few tokens; CPU seconds are those of one iteration of PPO."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from preflab.optimization import Optimization, OptimizerConfig
from preflab.records import Prompt
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab_builtin.causal_lm.config import TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.losses import nll_sum
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import ppo
from preflab_builtin.reward_model.scoring import NetworkReward
from processes import trained
from support import WORDS, FakeContext

WIDTHS = (128, 256, 384, 512)
SHAPES = {"tiny": (4, 128, 4), "small": (8, 512, 8)}


def held(what: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most since `forget`."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(what))
    return int(line.split()[1]) / 1024


def forget() -> None:
    """Let the peak begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


@dataclass(frozen=True)
class Update:
    """Three optimizer steps of a model of 8 blocks."""

    width: int
    sharding: Sharding

    def __call__(self, folder: Path) -> None:
        settings = RuntimeConfig(device=Device.cpu, threads=1, sharding=self.sharding)
        runtime = Runtime(settings)
        train(runtime, 32)  # what libraries hold is there before
        before = held("VmRSS")
        numbers = train(runtime, self.width)
        found = {"weights": numbers, "peak_mb": held("VmHWM") - before}
        (folder / f"{runtime.rank}.json").write_text(json.dumps(found))


def train(runtime: Runtime, width: int) -> int:
    """Three optimizer steps; the number of weights."""
    config = TinyConfig(layers=8, width=width, heads=4, tokenizer=TokenizerKind.bytes)
    policy = TinySource(config, None).create(torch.Generator().manual_seed(0))
    numbers: int = sum(p.numel() for p in policy.module.parameters())
    runtime.shard(policy.module)
    optimization = Optimization(OptimizerConfig(), policy.module.parameters(), 3, runtime, "policy")
    ids = torch.arange(32)[None, :]
    mask = torch.ones_like(ids, dtype=torch.bool)
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was only loaded or drawn is not held
    forget()
    for step in range(3):
        torch.autograd.backward(nll_sum(policy, ids, mask, mask))
        optimization.step(step)
    return numbers


@dataclass(frozen=True)
class Iteration:
    """Two iterations of PPO on 64 prompts, of which the second is timed."""

    shape: str

    def __call__(self, folder: Path) -> None:
        layers, width, heads = SHAPES[self.shape]
        prompts = [
            Prompt(f"{i}", " ".join(WORDS[j % 20] for j in range(i, i + 32))) for i in range(64)
        ]
        sizes = {"family": "gpt2", "layers": layers, "width": width, "heads": heads}
        context = FakeContext(folder, prompts, micro_batch=16, policy_config=sizes)
        network = context.policy("base").scalar_model(torch.Generator().manual_seed(0))
        context._reward, context._network = NetworkReward(network, context.runtime), network.copy()
        procedure = ppo(
            PPOConfig(episodes=128, batch=64, minibatch=32, kl=KLPenaltyConfig(coef=0.1)), context
        )
        procedure.step(0)
        started = time.process_time()
        procedure.step(1)
        used = {"cpu_s": time.process_time() - started}
        (folder / f"{context.runtime.rank}.json").write_text(json.dumps(used))


def most(folder: Path, name: str) -> float:
    """The largest figure of a process."""
    return max(float(json.loads(file.read_text())[name]) for file in folder.glob("*.json"))


def main() -> None:
    """Print both tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for width in WIDTHS:
            none, full = (
                trained(Update(width, how), root / f"{how.value}-{width}", 2) for how in Sharding
            )
            weights, whole, part = (
                most(none, "weights"),
                most(none, "peak_mb"),
                most(full, "peak_mb"),
            )
            print(
                f"width {width}: {weights / 1e6:.1f} million weights; a process of two holds "
                f"{whole:.0f} MB whole, {part:.0f} MB divided ({part / whole:.2f})",
                flush=True,
            )
        for shape in SHAPES:
            one, two = (trained(Iteration(shape), root / f"{shape}-{n}", n) for n in (1, 2))
            alone, each = most(one, "cpu_s"), most(two, "cpu_s")
            print(
                f"{shape}: an iteration of PPO takes {alone:.2f} CPU s in one process, {each:.2f} "
                f"in each of two: efficiency {alone / (2 * each):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
