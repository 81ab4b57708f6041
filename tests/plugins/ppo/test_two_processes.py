"""Two processes give the bits of one with accumulation 2: reward model, PPO and PPO-ptx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from preflab.optimization import OptimizerConfig
from preflab.records import Document, Prompt, Ranking, Record, preferences_from_ranks
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import Controller, KLPenaltyConfig
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import ppo
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.rewards.functions import noise_reward
from processes import trained
from support import WORDS, FakeContext, largest_difference

pytestmark = pytest.mark.slow

STAGES = ("reward_model", "ppo", "ptx")


def training(folder: Path) -> None:
    """Each optimizer step is two micro-batches: of 2 rows, or of 2 rankings of 3 responses."""
    documents = [
        Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)
    ]
    prompts = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 5])) for i in range(10)]
    texts = ("red", "red blue please thanks", "bad bad")
    rankings = [Ranking(p, texts, preferences_from_ranks([1, 2, 3])) for p in prompts]
    records: list[Record] = [*documents, *prompts, *rankings]
    context = FakeContext(folder, records, micro_batch=2, reward=FunctionReward(noise_reward(0)))
    ranked = FakeContext(folder, records, micro_batch=6)
    optimizer = OptimizerConfig(lr=1e-2)
    kl = KLPenaltyConfig(coef=0.1, controller=Controller.adaptive, horizon=50.0)
    settings: dict[str, Any] = {
        "episodes": 24,
        "batch": 8,
        "minibatch": 4,
        "kl": kl,
        "policy": optimizer,
        "value": optimizer,
        "ema": 0.9,
    }
    terms: Any = {"ptx": PtxConfig(coef=2.0, ratio=1.0, window=8)}
    kwise = KwiseConfig(epochs=2, batch=4, optimizer=optimizer)
    procedures: tuple[Any, ...] = (
        KwiseTraining(kwise, ranked),
        ppo(PPOConfig(**settings), context),
        ppo(PPOConfig(**settings, terms=terms), context),
    )
    rows = {}
    for stage, procedure in zip(STAGES, procedures, strict=True):
        rows[stage] = [dict(procedure.step(i)) for i in range(procedure.total_steps)]
        procedure.save(folder / stage)
    if context.runtime.rank == 0:
        (folder / "rows.json").write_text(json.dumps(rows))


def test_two_processes_equal_one_with_accumulation(tmp_path: Path) -> None:
    folders = [trained(training, tmp_path / str(n), n) for n in (1, 2)]
    one, two = (json.loads((folder / "rows.json").read_text()) for folder in folders)
    fresh = FakeContext(tmp_path).policy("base").module.state_dict()
    # The same rows in both cases, and a + b is a + b in either order.
    for stage in STAGES:
        weights = [load_file(f / stage / "model" / "model.safetensors") for f in folders]
        assert largest_difference(*weights) == 0.0, stage
        assert any(not weights[0][k].equal(fresh[k]) for k in weights[0] if k in fresh)
        for first, second in zip(one[stage], two[stage], strict=True):
            assert first.keys() == second.keys()
            timeless = {k for k in first if not k.startswith("time/")}
            different = {
                k: (first[k], second[k])
                for k in timeless
                if abs(first[k] - second[k]) > 1e-4 * max(1, abs(first[k]))
            }
            assert not different, (stage, different)
