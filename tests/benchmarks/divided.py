"""Memory and time of a process with divided weights and without: python
tests/benchmarks/divided.py [WIDTH ...] [SHAPE ...]. Memory is what the process holds beyond what it
held before it had a model: bytes of tensors after a step, which repeat exactly, and the peak while
AdamW trains on a few tokens or a folder is read. CPU seconds are those of a step, and of one
iteration of PPO.

Exit code 1 if a process of two that divide weights holds more than half of the weights and moments,
or at its peak more than half of what one with whole weights holds (that gives freed memory back
too) and what `preflab plan` counts as gathered: a block and the root, whole, with their gradients.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from preflab.malloc import give_back, keep_memory
from preflab.memory import Load, Placement
from preflab.memory import memory as reckoned
from preflab.optimization import Optimization, OptimizerConfig
from preflab.records import Prompt
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab_builtin.causal_lm.config import TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.losses import nll_sum
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.shape import inspect_tiny
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import ppo
from preflab_builtin.reward_model.scoring import NetworkReward
from processes import trained
from sharded import held_bytes
from support import WORDS, FakeContext

WIDTHS = (128, 256, 384, 512)
ROUNDING_MB, SPARE_MB = 0.5, 20
"""What may be more than half: of tensors, buffers and rows that no 2 divides; of a peak, buffers of
gloo and what malloc keeps for its threads (11 to 18 MB, at any width), and activations."""
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
    """Three optimizer steps of a model of 8 blocks. gives_back: freed memory goes back to the
    system, as it does by itself where weights are divided."""

    width: int
    sharding: Sharding
    gives_back: bool

    def __call__(self, folder: Path) -> None:
        runtime = started(self.sharding)
        if self.gives_back:
            keep_memory(False)
        train(runtime, 32)  # what libraries hold is there before
        before, tensors = held("VmRSS"), held_bytes()
        found = train(runtime, self.width)
        found["peak_mb"] = held("VmHWM") - before
        found["tensors_mb"] = (found["tensors_mb"] - tensors) / 2**20
        (folder / f"{runtime.rank}.json").write_text(json.dumps(found))


def started(sharding: Sharding) -> Runtime:
    """A process of one thread."""
    return Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=sharding))


def source_of(width: int) -> TinySource:
    """Models of 8 blocks."""
    config = TinyConfig(layers=8, width=width, heads=4, tokenizer=TokenizerKind.bytes)
    return TinySource(config, None)


def train(runtime: Runtime, width: int) -> dict[str, float]:
    """Three optimizer steps: number of weights, bytes of tensors after them, CPU seconds of one."""
    policy = source_of(width).create(torch.Generator().manual_seed(0))
    numbers: int = sum(p.numel() for p in policy.module.parameters())
    runtime.shard(policy.module)
    optimization = Optimization(OptimizerConfig(), policy.module.parameters(), 3, runtime, "policy")
    ids = torch.arange(32)[None, :]
    mask = torch.ones_like(ids, dtype=torch.bool)
    give_back()  # what was only loaded or drawn is not held
    forget()
    started_at = time.process_time()
    for step in range(3):
        torch.autograd.backward(nll_sum(policy, ids, mask, mask))
        optimization.step(step)
    used = (time.process_time() - started_at) / 3
    return {"weights": numbers, "tensors_mb": held_bytes(), "cpu_s": used}


@dataclass(frozen=True)
class Reading:
    """A folder is read, as a whole and divided afterwards or each process its part."""

    width: int
    in_parts: bool

    def __call__(self, folder: Path) -> None:
        runtime, source = started(Sharding.full), source_of(self.width)
        if runtime.rank == 0:
            source.create(torch.Generator().manual_seed(0)).save(folder / "model")
        runtime.gather([0])
        self.read(source_of(32), folder, runtime, warm=True)
        give_back()
        before = held("VmRSS")
        forget()
        self.read(source, folder, runtime)
        found = {"peak_mb": held("VmHWM") - before}
        (folder / f"{runtime.rank}.json").write_text(json.dumps(found))

    def read(
        self, source: TinySource, folder: Path, runtime: Runtime, warm: bool = False
    ) -> CausalPolicy:
        """Read the folder's model, or first a small one, so that libraries are loaded."""
        if warm:
            if runtime.rank == 0:
                source.create(torch.Generator().manual_seed(0)).save(folder / "small")
            runtime.gather([0])
        with runtime.dividing() if self.in_parts else contextlib.nullcontext():
            policy = source.load(folder / ("small" if warm else "model"))
        runtime.shard(policy.module)
        return policy


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


def main() -> int:
    """Print the tables, each ratio measured in turn; whether memory is divided."""
    wrong = 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    chosen = sys.argv[1:]
    widths = [int(word) for word in chosen if word.isdigit()] or (() if chosen else WIDTHS)
    shapes = [word for word in chosen if word in SHAPES] or (() if chosen else SHAPES)
    with tempfile.TemporaryDirectory() as place:
        for width in widths:
            wrong += memory(width, Path(place))
        for shape in shapes:
            one, two = (trained(Iteration(shape), Path(place) / f"{shape}-{n}", n) for n in (1, 2))
            alone, each = most(one, "cpu_s"), most(two, "cpu_s")
            print(
                f"{shape}: an iteration of PPO takes {alone:.2f} CPU s in one process, {each:.2f} "
                f"in each of two: efficiency {alone / (2 * each):.2f}",
                flush=True,
            )
    return int(wrong > 0)


def memory(width: int, root: Path) -> bool:
    """Print what a process of two holds; whether it is too much."""
    cases = ((Sharding.none, False), (Sharding.none, True), (Sharding.full, True))
    folders = [
        trained(Update(width, how, gives), root / f"{how.value}-{gives}-{width}", 2)
        for how, gives in cases
    ]
    whole, given, part = (
        {n: most(f, n) for n in ("tensors_mb", "peak_mb", "cpu_s")} for f in folders
    )
    print(f"width {width}: {most(folders[0], 'weights') / 1e6:.1f} million weights, two processes")
    for name, unit in (("tensors_mb", "MB of tensors"), ("peak_mb", "MB peak"), ("cpu_s", "CPU s")):
        print(
            f"  {unit}: whole {whole[name]:.2f}, whole and memory given back {given[name]:.2f}, "
            f"divided {part[name]:.2f} ({part[name] / whole[name]:.2f} and "
            f"{part[name] / given[name]:.2f} of these)",
            flush=True,
        )
    read = [trained(Reading(width, p), root / f"read-{p}-{width}", 2) for p in (False, True)]
    before, after = (most(folder, "peak_mb") for folder in read)
    print(f"  MB peak to read a folder: {before:.1f} whole, {after:.1f} in parts", flush=True)
    limits = {
        "tensors_mb": whole["tensors_mb"] / 2 + ROUNDING_MB,
        "peak_mb": given["peak_mb"] / 2 + gathered_mb(width) + SPARE_MB,
    }
    for name, limit in limits.items():
        said = "TOO MUCH" if part[name] > limit else "at most"
        print(f"  {name} divided: {part[name]:.2f}, {said} {limit:.2f}", flush=True)
    return any(part[name] > limit for name, limit in limits.items())


def gathered_mb(width: int) -> float:
    """What is whole while a block computes, with its gradients."""
    shape = inspect_tiny(source_of(width).config).shape
    assert shape is not None
    placement = Placement(processes=2, sharded=True)
    return reckoned(shape, Load(1, 1, 32, passes=3), placement).block / 2**20


if __name__ == "__main__":
    sys.exit(main())
