"""Selection takes the SFT checkpoint whose samples score highest on validation prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from preflab.errors import UserError
from preflab.records import Prompt
from preflab.rewards import FunctionReward
from preflab_builtin.causal_lm.config import LoraConfig, TinyConfig
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.rewards.functions import length_reward, noise_reward
from preflab_builtin.select.config import RewardSelectionConfig
from preflab_builtin.select.selection import RewardSelection
from support import WORDS, FakeContext, builtin, largest_difference

PROMPTS = [Prompt(str(i), WORDS[i], split="validation") for i in range(8)] + [
    Prompt("t", "red", split="train")
]


SHORT = FunctionReward(length_reward(0, 1.0))


def world(
    folder: Path, prompts: list[Prompt] = PROMPTS, reward: FunctionReward = SHORT
) -> FakeContext:
    """Three checkpoints that end their answers sooner or later; the reward likes short ones."""
    context = FakeContext(folder, prompts, reward=reward)
    for name, strength in (("epoch-1", 1.0), ("epoch-2", 80.0), ("epoch-10", 0.5)):
        policy = context.policy("base")
        with torch.no_grad():
            policy.module.get_parameter("model.embed_tokens.weight")[context.tokenizer.eos_id] *= (
                strength  # tied to the head
            )
        policy.save(folder / "checkpoints" / name)
    return context


def finished(context: FakeContext, folder: Path) -> RewardSelection:
    procedure = RewardSelection(RewardSelectionConfig(prompts=6), context)
    for index in range(procedure.total_steps):
        procedure.step(index)
    folder.mkdir()
    procedure.save(folder)
    return procedure


def test_the_best_checkpoint_is_the_result(tmp_path: Path) -> None:
    context = world(tmp_path)
    procedure = finished(context, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert procedure.names == ["epoch-1", "epoch-2", "epoch-10"]
    assert report["scores"] == procedure.scores
    assert report["prompts"] == 6
    best = max(procedure.scores, key=lambda name: procedure.scores[name])
    assert report["chosen"] == best
    assert len(set(procedure.scores.values())) > 1
    saved = context.source.load(tmp_path / "out" / "model").module.state_dict()
    assert largest_difference(saved, context.policy(f"sft/{best}").module.state_dict()) == 0


def test_all_checkpoints_answer_the_same_prompts_with_the_same_noise(tmp_path: Path) -> None:
    # Any other answer has another reward.
    context = world(tmp_path, reward=FunctionReward(noise_reward(0)))
    equal = context.policy("sft/epoch-1")
    equal.save(tmp_path / "checkpoints" / "epoch-2")
    procedure = finished(context, tmp_path / "out")
    assert procedure.scores["epoch-1"] == procedure.scores["epoch-2"]


def test_the_earliest_of_equals_is_taken(tmp_path: Path) -> None:
    context = world(tmp_path)
    for name in ("epoch-1", "epoch-10"):
        context.policy("sft/epoch-2").save(tmp_path / "checkpoints" / name)
    finished(context, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "selection.json").read_text())["chosen"] == "epoch-1"


def test_resuming_gives_the_same_scores(tmp_path: Path) -> None:
    context = world(tmp_path)
    straight = finished(context, tmp_path / "out")
    first, second = (RewardSelection(RewardSelectionConfig(prompts=6), context) for _ in range(2))
    first.step(0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for index in (1, 2):
        second.step(index)
    assert second.scores == straight.scores


def test_without_checkpoints_or_prompts_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"kept no checkpoints.*select=last"):
        RewardSelection(RewardSelectionConfig(), FakeContext(tmp_path, PROMPTS, reward=SHORT))
    with pytest.raises(UserError, match="no validation prompts"):
        RewardSelection(RewardSelectionConfig(), world(tmp_path, [PROMPTS[-1]]))


def test_last_is_no_stage() -> None:
    component = builtin("select", "last")
    assert component.procedure is None
    assert component.build is None


def test_the_result_has_no_adapter_that_nobody_trained(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    source = TinySource(TinyConfig(layers=1, width=16, heads=2), WORDS)
    source.lora = LoraConfig(rank=2)
    source.create(torch.Generator().manual_seed(1)).save(tmp_path / "checkpoints" / "epoch-1")
    policy = source.load(tmp_path / "checkpoints" / "epoch-1")
    context = FakeContext(tmp_path, PROMPTS, policies={"sft/epoch-1": policy}, reward=SHORT)
    finished(context, tmp_path / "out")
    assert not (tmp_path / "out" / "model" / "adapter").exists()
    saved = source.load(tmp_path / "out" / "model")
    assert largest_difference(saved.module.state_dict(), policy.module.state_dict()) == 0
