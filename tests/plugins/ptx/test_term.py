"""The ptx term adds coef times the gradient of the mean token loss, and disturbs nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preflab.optimization import Optimization, OptimizerConfig
from preflab.records import Document
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.ptx.term import PtxTerm
from support import WORDS, FakeContext, builtin, gradients, largest_difference

DOCUMENTS = [
    Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(5 + i))) for i in range(12)
]


def context(folder: Path, micro_batch: int = 64) -> FakeContext:
    return FakeContext(folder, DOCUMENTS, micro_batch=micro_batch)


def expected_gradient(
    term: PtxTerm, world: FakeContext, numbers: range
) -> tuple[dict[str, torch.Tensor], float]:
    """transformers' own loss: with equal windows its mean over tokens is the global mean."""
    policy, windows = world.policy("base"), term.stream.pick(numbers)
    loss = policy.module(windows, labels=windows).loss
    loss.backward()
    return gradients(policy.module), float(loss.detach())


def test_adds_coef_times_the_gradient_to_what_is_there(tmp_path: Path) -> None:
    world = context(tmp_path)
    term = PtxTerm(PtxConfig(coef=27.8, ratio=2.0, window=8), world)
    wanted, loss = expected_gradient(term, world, range(6))
    policy = world.policy("base")
    there = {
        n: torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
        for n, p in policy.module.named_parameters()
    }
    for name, parameter in policy.module.named_parameters():
        parameter.grad = there[name].clone()
    optimization = Optimization(
        OptimizerConfig(), policy.module.parameters(), 1, world.runtime, "policy"
    )
    metrics = optimization.add("ptx", lambda: term.accumulate(policy, 0, 3))
    after = gradients(policy.module)
    assert (
        largest_difference(
            {n: after[n] - there[n] for n in there}, {n: 27.8 * wanted[n] for n in there}
        )
        < 1e-5
    )
    assert metrics["loss/ptx"] == pytest.approx(loss, rel=1e-5)
    norm = math.sqrt(sum(float((27.8 * g).double().square().sum()) for g in wanted.values()))
    other = math.sqrt(sum(float(g.double().square().sum()) for g in there.values()))
    product = sum(float((27.8 * wanted[n].double() * there[n].double()).sum()) for n in there)
    assert metrics["ptx/grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert metrics["ptx/other_grad_norm"] == pytest.approx(other, rel=1e-6)
    assert metrics["ptx/cosine"] == pytest.approx(product / norm / other, abs=1e-6)


def test_gradient_is_linear_in_coef(tmp_path: Path) -> None:
    found = []
    for coef in (1.0, 27.8):
        world = context(tmp_path)
        policy = world.policy("base")
        PtxTerm(PtxConfig(coef=coef, ratio=1.0, window=8), world).accumulate(policy, 0, 4)
        found.append(gradients(policy.module))
    assert largest_difference({n: 27.8 * g for n, g in found[0].items()}, found[1]) < 1e-5


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    found = []
    for micro_batch in (64, 3, 1):
        world = context(tmp_path, micro_batch)
        policy = world.policy("base")
        PtxTerm(PtxConfig(coef=1.0, ratio=2.0, window=8), world).accumulate(policy, 0, 4)
        found.append(gradients(policy.module))
    assert largest_difference(found[0], found[1]) < 1e-6
    assert largest_difference(found[0], found[2]) < 1e-6


def test_goes_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    world = context(tmp_path)
    term = PtxTerm(PtxConfig(ratio=2.0, window=8), world)
    first = [
        term.accumulate(world.policy("base"), step, episodes)["loss/ptx"]
        for step, episodes in enumerate((4, 2, 4))
    ]
    again = PtxTerm(PtxConfig(ratio=2.0, window=8), world)
    second = [
        again.accumulate(world.policy("base"), step, episodes)["loss/ptx"]
        for step, episodes in enumerate((4, 2))
    ]
    resumed = PtxTerm(PtxConfig(ratio=2.0, window=8), world)
    resumed.load_state_dict(again.state_dict())
    assert [*second, resumed.accumulate(world.policy("base"), 2, 4)["loss/ptx"]] == first
    assert len(set(first)) == 3  # other windows each time


def test_needs_documents_unless_it_is_off() -> None:
    component = builtin("gradient_term", "ptx")
    assert component.needs(PtxConfig()) == ("documents",)
    assert component.needs(PtxConfig(coef=0.0)) == ()
