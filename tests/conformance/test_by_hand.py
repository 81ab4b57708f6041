"""The loop that one reads from top to bottom, and the engine's procedure, give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conformance.engine import engine as whole_engine
from conformance.engine import run_of
from examples import ppo_ptx_by_hand as by_hand
from preflab.engine.context import StageContext
from preflab.engine.stages import Stages
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Document, Prompt
from preflab.sharding import gathered, is_sharded
from preflab.testing import WORDS, FakeContext
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ptx.config import PtxConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def context(folder: Path) -> FakeContext:
    """Prompts of different lengths, and text for a few pretraining windows."""
    prompts = [Prompt(str(i), " ".join(WORDS[: 1 + i % 5])) for i in range(12)]
    texts = [" ".join(WORDS[(i + j * j) % 20] for j in range(11)) for i in range(20)]
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    return FakeContext(folder, [*prompts, *documents], stage="ppo", reward=by_hand.ShortAnswers())


def engine(folder: Path) -> OnPolicy:
    """The engine's procedure with the settings of the page, after as many iterations."""
    optimizer = OptimizerConfig(
        lr=by_hand.LEARNING_RATE, eps=1e-5, schedule=Schedule.constant, clip=by_hand.LARGEST_NORM
    )
    ptx = PtxConfig(coef=by_hand.PTX_COEF, ratio=by_hand.PTX_RATIO, window=by_hand.PTX_WINDOW)
    config = PPOConfig(
        episodes=by_hand.ITERATIONS * by_hand.BATCH,
        batch=by_hand.BATCH,
        minibatch=by_hand.MINIBATCH,
        kl=KLPenaltyConfig(coef=by_hand.KL_COEF),
        policy=optimizer,
        value=optimizer,
        terms={"ptx": ptx},
    )
    procedure = training.ppo(config, context(folder))
    for index in range(procedure.total_steps):
        procedure.step(index)
    return procedure


def test_two_iterations_give_the_same_bits(tmp_path: Path) -> None:
    policy, value = by_hand.train(context(tmp_path))
    procedure = engine(tmp_path)
    assert is_sharded(procedure.policy.module) == (os.environ.get("PREFLAB_SHARDING") == "full")
    start = context(tmp_path).policy("initial")
    assert procedure.networks.value is not None
    pairs = ((policy, procedure.policy), (value, procedure.networks.value))
    for ours, theirs in pairs:
        for name, weight in gathered(theirs.module.state_dict()).items():
            assert torch.equal(ours.module.state_dict()[name], weight), name
    moved = zip(policy.module.parameters(), start.module.parameters(), strict=True)
    assert any(not torch.equal(after, before) for after, before in moved)


@pytest.mark.parametrize("constant", ["KL_COEF", "PTX_COEF", "LAMBDA", "CLIP"])
def test_every_constant_of_the_page_counts(
    constant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, value = by_hand.train(context(tmp_path))
    monkeypatch.setattr(by_hand, constant, 0.5 * getattr(by_hand, constant) / 100)
    others = by_hand.train(context(tmp_path))
    weights = [
        torch.cat([p.flatten() for model in models for p in model.module.parameters()])
        for models in ((policy, value), others)
    ]
    assert not torch.equal(*weights)


@pytest.mark.reliability
@pytest.mark.slow
def test_a_whole_run_leaves_the_same_bits(tmp_path: Path) -> None:
    optimizer = f"{{lr: {by_hand.LEARNING_RATE}, schedule: constant, warmup: 0}}"
    run = (
        *("data.prompts=100", "data.documents=200", "policy.layers=2", "policy.width=32"),
        *("policy.heads=2", "pretrain=none", "sft=none", "evaluation=none"),
        *("reward_model=length", "reward_model.target=3", "reward_model.scale=1"),
        *("algorithm=ppo_ptx", f"algorithm.policy={optimizer}", f"algorithm.value={optimizer}"),
        *(f"algorithm.episodes={by_hand.ITERATIONS * by_hand.BATCH}",),
        *(f"algorithm.batch={by_hand.BATCH}", f"algorithm.minibatch={by_hand.MINIBATCH}"),
        f"algorithm.terms.ptx.window={by_hand.PTX_WINDOW}",
    )
    artifact = whole_engine(tmp_path, *run).artifacts["algorithm"]
    stages = Stages(run_of(tmp_path, *run), lambda *_, **__: None, {})
    networks = by_hand.train(StageContext(stages.environment, "algorithm"))
    for network, folder in zip(networks, ("model", "value"), strict=True):
        network.save(tmp_path / folder)
        ours, theirs = (
            load_file(place / folder / "model.safetensors") for place in (tmp_path, artifact)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_the_page_is_short_and_runs(tmp_path: Path) -> None:
    page = ROOT / "plugins" / "examples" / "ppo_ptx_by_hand.py"
    assert len(page.read_text(encoding="utf8").splitlines()) <= 120
    command = [sys.executable, str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.count("nats per response") == by_hand.ITERATIONS
