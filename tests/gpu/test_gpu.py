"""What only a GPU can show (``make test-gpu``): the numbers of the CPU, recorded decoding,
compiled blocks, bfloat16, exact resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from end_to_end.runs import KILLER, digests
from preflab.interfaces import Sampling
from preflab.likelihood import response_log_probs, response_values
from preflab.records import Prompt, Rollout
from preflab.runtime import Device, Precision, Runtime, RuntimeConfig
from preflab.storage.artifacts import read_rows
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from preflab_builtin.rollouts.sampling import row_noise
from support import WORDS, gradients, largest_difference

pytestmark = pytest.mark.gpu
FAMILIES = [Family.gpt2, Family.llama]
PROMPTS = [Prompt(str(i), " ".join(WORDS[i % 3 : i % 5 + 4]), split="train") for i in range(12)]
SEED = (1, "gpu")
RUN = ("debug=fast", "artifacts.dir=artifacts", "checkpoint.every_steps=1", "runtime.device=cuda")


def runtime(precision: Precision = Precision.float32) -> Runtime:
    return Runtime(RuntimeConfig(device=Device.cuda, precision=precision))


def preflab(folder: Path, *words: str, **environment: str) -> int:
    """The exit code of a command in a process of its own: one that has used a GPU cannot be
    forked."""
    with (folder / "log.txt").open("a") as log:
        command = [sys.executable, "-m", "preflab", *words]
        return subprocess.run(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            timeout=300,
        ).returncode


def policy(
    family: Family, device: str = "cuda", fast: bool = True, graphs: bool = False
) -> CausalPolicy:
    source = TinySource(TinyConfig(family=family, layers=3, width=64, heads=4), WORDS, fast=fast)
    model = source.create(torch.Generator().manual_seed(3))
    with torch.no_grad():
        # Sharper than a new model, so that some responses end early.
        generator = torch.Generator().manual_seed(5)
        for parameter in model.module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.module.to(device)
    model.graphs = graphs
    return model


def moved(rows: Rollout, device: str) -> Rollout:
    tensors = {
        f.name: getattr(rows, f.name).to(device)
        for f in fields(rows)
        if isinstance(getattr(rows, f.name), torch.Tensor)
    }
    return replace(rows, **tensors)


def sampled(model: CausalPolicy, here: Runtime, tokens: int = 40) -> Rollout:
    engine = NativeEngine(NativeConfig(max_tokens=tokens, batch=16), here)
    return engine.generate(model, PROMPTS, Sampling(tokens, 1.0, samples=2), SEED)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fast", [True, False])
def test_numbers_and_gradients_are_those_of_the_cpu(family: Family, fast: bool) -> None:
    rows = sampled(policy(family), runtime())
    results = []
    for device in ("cpu", "cuda"):
        model = policy(family, device, fast)
        value = model.scalar_model(torch.Generator().manual_seed(1))
        log_probs = response_log_probs(model, moved(rows, device))
        values = response_values(value, moved(rows, device))
        torch.autograd.backward(log_probs.sum() + values.square().sum())
        slopes = {name: g.cpu() for name, g in gradients(model.module).items()}
        slopes |= {f"value {name}": g.cpu() for name, g in gradients(value.module).items()}
        results.append((log_probs.detach().cpu(), values.detach().cpu(), slopes))
    (cpu_log_probs, cpu_values, cpu_slopes), (log_probs, values, slopes) = results
    assert torch.allclose(log_probs, cpu_log_probs, atol=1e-4)
    assert torch.allclose(values, cpu_values, atol=1e-4)
    scale = max(float(g.abs().max()) for g in cpu_slopes.values())
    assert largest_difference(slopes, cpu_slopes) < 1e-4 * scale


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_decoding_samples_the_same_tokens(family: Family) -> None:
    """With rows that leave and slots that run out in between, and against drawing from whole
    forward passes."""
    plain, recorded = (
        sampled(policy(family, graphs=graphs), runtime()) for graphs in (False, True)
    )
    assert plain.tokens() == recorded.tokens()
    lengths = set(plain.response_lengths.tolist())
    assert len(lengths) > 3, "rows must end at several places, or no row leaves the batch"
    assert max(lengths) > 33, "there must be more tokens than slots are allocated at a time"
    model = policy(family)
    noise = row_noise(SEED, range(24), 40)
    places = []
    for row, (prompt, response) in enumerate(plain.tokens()):
        ids = torch.tensor([prompt + response], device="cuda")
        with torch.no_grad():
            hidden = model.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
            logits = model.logits(hidden)[0, len(prompt) - 1 : -1]
        sums = logits.double().softmax(-1).cumsum(-1)
        # Inverse transform: the noise is within the token's own interval, up to rounding.
        for step, token in enumerate(response):
            low = float(sums[step, token - 1]) if token else 0.0
            high = float(sums[step, token])
            places.append(low - 1e-5 <= float(noise[row, step]) <= high + 1e-5)
    assert all(places)
    assert len(places) == int(plain.response_lengths.sum())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("graphs", [False, True])
def test_bfloat16_keeps_log_probs_in_float32(family: Family, graphs: bool) -> None:
    here = runtime(Precision.bfloat16)
    rows = sampled(policy(family, graphs=graphs), here)
    model = policy(family)
    exact = response_log_probs(model, rows).detach()
    with here.autocast():
        rough = response_log_probs(model, rows)
        hidden = model.hidden(rows.input_ids, rows.mask)
        assert model.logits(hidden).dtype is torch.float32
    assert rough.dtype is torch.float32
    error = (rough.detach() - exact)[rows.response_mask].abs()
    assert 0 < float(error.mean()) < 0.05  # states have eight bits: a logit of 8 is known to 1/32
    torch.autograd.backward(rough.sum())
    assert all(
        p.grad is not None and p.grad.dtype is torch.float32 for p in model.module.parameters()
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("runtime.precision=bfloat16", "runtime.decode_graphs=true"),
        ("runtime.fast_paths=false",),
        ("runtime.precision=bfloat16", "runtime.compile=true"),
    ],
)
def test_the_whole_ladder_runs(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert preflab(tmp_path, *RUN, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    (run,) = tmp_path.glob("runs/config/*")
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["stage"] == "algorithm"]
    assert rows
    assert all(abs(row["val/ratio"] - 1) < 0.2 for row in rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_blocks_have_the_same_numbers_with_fewer_kernels(family: Family) -> None:
    """A forward and a backward pass of each, and one more with other numbers of tokens, for which
    nothing is made anew."""
    from torch._dynamo.utils import counters
    from torch.profiler import DeviceType, ProfilerActivity, profile

    plain, made = policy(family), policy(family)
    made.compiling = True
    rows, counted = sampled(plain, runtime()), []
    results = []
    for model in (plain, made):
        torch.autograd.backward(response_log_probs(model, rows).sum())  # compiles, or warms up
        model.module.zero_grad()
        codes = counters["stats"]["unique_graphs"]
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            log_probs = response_log_probs(model, rows)
            torch.autograd.backward(log_probs.sum())
            torch.cuda.synchronize()
        counted.append(sum(event.device_type is DeviceType.CUDA for event in seen.events()))
        results.append((log_probs.detach(), gradients(model.module)))
        response_log_probs(model, sampled(plain, runtime(), tokens=23))
        assert counters["stats"]["unique_graphs"] == codes
    (log_probs, slopes), (log_probs_too, slopes_too) = results
    assert torch.allclose(log_probs, log_probs_too, atol=1e-4)
    scale = max(float(g.abs().max()) for g in slopes.values())
    assert largest_difference(slopes, slopes_too) < 1e-4 * scale
    assert codes > 0
    assert counted[1] < 0.9 * counted[0]


EXACT = (*RUN, "runtime.deterministic=true")


@pytest.fixture(scope="module", params=["runtime.decode_graphs=true", "runtime.compile=true"])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[str, ...]]:
    """A folder with a run that nothing disturbed, and its words."""
    folder, words = tmp_path_factory.mktemp("whole"), (*EXACT, request.param)
    assert preflab(folder, *words) == 0, (folder / "log.txt").read_text()[-3000:]
    return folder, words


@pytest.mark.parametrize("stage", ["reward_model", "algorithm"])
def test_a_killed_and_repeated_run_leaves_the_same_bits(
    whole: tuple[Path, tuple[str, ...]], tmp_path: Path, stage: str
) -> None:
    undisturbed, words = whole
    plugin = tmp_path / "killer.py"
    plugin.write_text(KILLER)
    broken = preflab(tmp_path, "--plugin", str(plugin), *words, KILL_AT=f"{stage}:1")
    assert broken == -signal.SIGKILL
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert digests(tmp_path) == digests(undisturbed)
