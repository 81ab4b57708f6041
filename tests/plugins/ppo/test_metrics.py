"""What PPO reports stands in its README."""

from __future__ import annotations

import re
from pathlib import Path

import preflab_builtin.ppo
from preflab.records import Document, Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOClipConfig, PPOConfig
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rewards.shapings import LengthPenaltyConfig
from support import WORDS, FakeContext


def test_every_metric_is_documented(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{i}", WORDS[i]) for i in range(8)]
    documents = [Document(f"d{i}", " ".join(WORDS[i : i + 9])) for i in range(8)]
    terms, kl = (
        {"ptx": PtxConfig(coef=1.0, ratio=1.0, window=8)},
        KLPenaltyConfig(0.1, stop_above=1e-9),
    )
    shaping = {"length": LengthPenaltyConfig()}
    config = PPOConfig(
        episodes=16,
        batch=8,
        minibatch=4,
        terms=terms,
        clip=PPOClipConfig(score=0.5),
        kl=kl,
        shaping=shaping,
    )
    procedure = training.ppo(
        config,
        FakeContext(tmp_path, [*prompts, *documents], reward=FunctionReward(noise_reward(0))),
    )
    reported = {name.replace("ptx/", "TERM/") for i in range(2) for name in procedure.step(i)}
    page = (Path(preflab_builtin.ppo.__file__).parent / "README.md").read_text(encoding="utf8")
    assert "policy/stopped_early" in reported
    assert "shaping/length" in reported
    assert reported - {"loss/TERM/", "shaping/length"} <= set(re.findall(r"`([\w/]+)`", page)) | {
        "loss/ptx"
    }
    assert "`shaping/NAME`" in page
