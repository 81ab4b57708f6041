"""The loop that one reads top to bottom gives the engine's bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import examples.ppo_ptx_by_hand as by_hand
from conformance.engine import engine, run_of
from preflab.engine.stages import Stages
from preflab.interfaces import World

ROOT = Path(__file__).parents[2]
OVERRIDES = (
    *("data.prompts=200", "data.documents=600", "policy.layers=2", "policy.width=32"),
    *(
        "policy.heads=2",
        "pretrain=none",
        "sft=none",
        "reward_model=length",
        "rollout.max_tokens=16",
    ),
    *("algorithm=ppo_ptx", "algorithm.episodes=32", "algorithm.batch=16", "algorithm.minibatch=8"),
    *("algorithm.policy.schedule=constant", "algorithm.policy.warmup=0"),
    *("algorithm.value.schedule=constant", "algorithm.value.warmup=0", "evaluation=none"),
)


def test_two_iterations_give_the_engines_weights(tmp_path: Path) -> None:
    made = engine(tmp_path, *OVERRIDES)
    environment = Stages(run_of(tmp_path, *OVERRIDES), lambda *_, **__: None, {}).environment
    records, source = environment.records, environment.sources["data"]
    prompts: Any = records.split("prompts", "train")
    documents: Any = records.split("documents", "train")
    assert isinstance(source, World)
    policy, value = by_hand.train(prompts, documents, source.vocabulary or ())
    assert len(made.metrics) == by_hand.ITERATIONS
    for network, folder in ((policy, "model"), (value, "value")):
        network.save(tmp_path / folder)
        ours = load_file(tmp_path / folder / "model.safetensors")
        theirs = load_file(made.artifacts["algorithm"] / folder / "model.safetensors")
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_is_a_page_and_runs(tmp_path: Path) -> None:
    page = ROOT / "plugins/examples/ppo_ptx_by_hand.py"
    assert page.read_text(encoding="utf8").count("\n") <= 120
    done = subprocess.run(
        [sys.executable, str(page)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.count("nats per response") == by_hand.ITERATIONS
