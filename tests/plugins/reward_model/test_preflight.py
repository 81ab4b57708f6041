"""Rankings and given reward models that are refused before the first stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from preflab.errors import UserError
from preflab.records import Prompt, Ranking
from preflab_builtin.reward_model.config import KwiseConfig, PretrainedRewardConfig
from preflab_builtin.reward_model.preflight import kwise, pretrained
from support import FakeContext


def ranking(number: int, better: str, worse: str, split: str = "train") -> Ranking:
    prompt = Prompt(f"p{number}", "add one two", split=split, place=f"r.jsonl:{number}")
    return Ranking(prompt, (better, worse), ((0, 1),))


def context(folder: Path, *records: Any, positions: int = 16) -> FakeContext:
    return FakeContext(folder, records, policy_config={"max_positions": positions})


def reward_model(folder: Path, given: FakeContext) -> PretrainedRewardConfig:
    """A saved scalar model of a context's policy."""
    network = given.policy("base").scalar_model(torch.Generator().manual_seed(0))
    network.save(folder / "reward")
    return PretrainedRewardConfig(path=str(folder / "reward"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_long_rankings_are_counted_in_both_splits_that_are_read(split: str, tmp_path: Path) -> None:
    """3 tokens of prompt, 14 of a response with its end: 17 of 16 positions."""
    rows = [ranking(1, "red", "blue"), ranking(2, " ".join(["red"] * 13), "blue", split)]
    with pytest.raises(UserError, match=r"1 of 2 rankings .*r\.jsonl:2 \(17 tokens\).*max_tokens"):
        list(kwise(KwiseConfig(), context(tmp_path, *rows)))
    list(kwise(KwiseConfig(max_tokens=13), context(tmp_path, *rows)))


def test_cutting_responses_is_no_cure_for_a_prompt_that_is_too_long_alone(tmp_path: Path) -> None:
    prompt = Prompt("p", " ".join(["add"] * 20), split="train", place="r.jsonl:1")
    long = Ranking(prompt, ("red", "blue"), ((0, 1),))
    with pytest.raises(UserError) as refused:
        list(kwise(KwiseConfig(), context(tmp_path, ranking(2, "red", "blue"), long)))
    assert "filters.fits.max_row_tokens=16" in str(refused.value)
    assert "reward_model.max_tokens" not in str(refused.value)


def test_responses_that_are_cut_to_the_same_tokens_are_refused(tmp_path: Path) -> None:
    rows = [ranking(1, "red", "blue"), ranking(2, "red red blue", "red red red")]
    list(kwise(KwiseConfig(max_tokens=3), context(tmp_path, *rows)))
    with pytest.raises(UserError, match=r"ranking of r\.jsonl:2 prefers .*max_tokens \(2\)"):
        list(kwise(KwiseConfig(max_tokens=2), context(tmp_path, *rows)))


def test_a_preference_is_needed_and_comparisons_are_not_known_yet(tmp_path: Path) -> None:
    tied = Ranking(Prompt("p", "add", split="train"), ("red", "blue"), ())
    with pytest.raises(UserError, match="no ranking with a preference"):
        list(kwise(KwiseConfig(), context(tmp_path, tied)))
    assert list(kwise(KwiseConfig(), context(tmp_path))) == []


def test_a_reward_model_with_fewer_positions_than_a_prompt_and_response(tmp_path: Path) -> None:
    """It has 10 positions, the policy 16; the engine's responses have 8 tokens, so 2 are left."""
    config = reward_model(tmp_path, context(tmp_path, positions=10))
    short = Prompt("a", "add one", split="test")
    list(pretrained(config, context(tmp_path, short)))
    long = Prompt("b", "add one two", split="test", place="p.jsonl:3")
    with pytest.raises(UserError, match=r"10 positions of the reward model .*p\.jsonl:3 \(3 tok"):
        list(pretrained(config, context(tmp_path, short, long)))


def test_a_reward_model_that_is_broken_or_reads_other_tokens(tmp_path: Path) -> None:
    given = context(tmp_path)
    config = reward_model(tmp_path, given)
    assert list(pretrained(config, given)) == []
    other = FakeContext(tmp_path, vocabulary=None)
    with pytest.raises(UserError, match="another tokenizer than the policy"):
        list(pretrained(config, other))
    file = Path(config.path) / "model.safetensors"
    tensors = load_file(file)
    tensors["score.weight"][0, 0] = float("inf")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"score\.weight of \d+ hold NaN or infinity"):
        list(pretrained(config, given))


def test_responses_that_are_the_same_tokens_uncut_are_refused(tmp_path: Path) -> None:
    """To the words of the tiny world white space is no difference."""
    rows = [ranking(1, "red", "blue"), ranking(2, "red  blue", "red blue")]
    with pytest.raises(UserError, match=r"ranking of r\.jsonl:2 prefers .*Use a tokenizer that"):
        list(kwise(KwiseConfig(), context(tmp_path, *rows)))


@pytest.mark.parametrize("rows", [(), (ranking(1, "red", "blue"),)])
def test_more_trainable_blocks_than_the_policy_has_are_refused(
    rows: tuple[Ranking, ...], tmp_path: Path
) -> None:
    """Also where the rankings are still to be made."""
    given = context(tmp_path, *rows)
    with pytest.raises(UserError, match=r"trainable_layers=99, but the model has \d+ blocks"):
        list(kwise(KwiseConfig(trainable_layers=99), given))
    list(kwise(KwiseConfig(trainable_layers=1), given))


def test_one_reward_for_several_groups_of_people_is_said(tmp_path: Path) -> None:
    rows = [replace(ranking(i, "red", "blue"), group=group) for i, group in enumerate("aab")]
    (said,) = kwise(KwiseConfig(), context(tmp_path, *rows))
    assert said.startswith("The rankings are of 2 groups of people (a 2, b 1), and one reward for")
    assert "reward_model=kwise_groups" in said
    assert list(kwise(KwiseConfig(), context(tmp_path, *rows[:2]))) == []
    many = [replace(rows[0], group=f"g{i}") for i in range(10)]
    (said,) = kwise(KwiseConfig(), context(tmp_path, *many))
    assert "g7 1 and 2 more)" in said
    # Training heads of groups, which does keep them apart.
    own = context(tmp_path, *rows)
    own.key_of = lambda config: "reward_model.kwise"  # type: ignore[method-assign]
    assert list(kwise(KwiseConfig(), own)) == []
