"""One text is one list of tokens for policy, reward model, value network and pretraining stream,
or the run is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.compose import compose, resolved
from preflab.composing.search_path import registry
from preflab.interfaces import Tokenizer
from preflab.planning.checks import DIFFERENT_TOKENIZERS
from preflab.planning.reading import read
from preflab.records import Document, Prompt, Ranking, Record, Rollout
from preflab.rewards import FunctionReward
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts.prompts import prompt_tokens
from support import WORDS, FakeContext


def texts(count: int, closed: bool) -> list[str]:
    """Random texts: words of the closed world, or characters of one to four bytes, control
    characters and special tokens."""
    draw = random.Random(5)
    if closed:
        return [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(count)]
    pieces = [
        *"ab \n\t.,",
        "é",
        "ß",
        "中",
        "🙂",
        "\u2028",
        "\u200b",
        "<eos>",
        "<pad>",
        "</s>",
        "\x7f",
    ]
    return ["".join(draw.choices(pieces, k=draw.randint(1, 20))) for _ in range(count)]


@pytest.mark.parametrize("closed", [True, False], ids=["words", "bytes"])
def test_what_the_reward_model_scores_is_what_it_was_trained_on(
    closed: bool, tmp_path: Path
) -> None:
    """200 random texts: the ids of training on rankings, and of a rollout as the scorer gets it."""
    prompts = [Prompt(f"p{i}", text, split="train") for i, text in enumerate(texts(100, closed))]
    answers = list(dict.fromkeys(texts(900, closed)))[:200]
    rankings = [
        Ranking(p, (answers[2 * i], answers[2 * i + 1]), ((0, 1),)) for i, p in enumerate(prompts)
    ]
    context = FakeContext(
        tmp_path,
        rankings,
        vocabulary=WORDS if closed else None,
        policy_config={"max_positions": 256},
    )
    procedure = KwiseTraining(KwiseConfig(), context)
    trained = procedure._rollout(procedure.examples)
    tokenizer, policy = context.tokenizer, context.policy("sft")
    asked = prompt_tokens(policy, trained.prompts, 8)
    sampled = [[*tokenizer.encode(text), tokenizer.eos_id] for text in answers]
    scored = Rollout.from_tokens(tokenizer, trained.prompts, asked, sampled)
    assert len(trained) == 200
    assert trained.tokens() == scored.tokens()
    assert trained.texts == scored.texts == tuple(answers)
    # No text spells it.
    assert all(
        ids.count(tokenizer.eos_id) == 1 and ids[-1] == tokenizer.eos_id
        for _, ids in scored.tokens()
    )
    assert not any(tokenizer.pad_id in [*asked_ids, *ids] for asked_ids, ids in scored.tokens())


def test_all_networks_and_streams_of_an_algorithm_have_one_tokenizer(tmp_path: Path) -> None:
    records: list[Record] = [
        Prompt("p", "add one", split="train"),
        Document("d", " ".join(WORDS), split="train"),
    ]
    context = FakeContext(tmp_path, records, reward=FunctionReward(noise_reward(0)))
    config = PPOConfig(
        episodes=4, batch=4, minibatch=4, terms={"ptx": PtxConfig(coef=1.0, window=8)}
    )
    procedure = training.ppo(config, context)
    assert procedure.networks.reference is not None
    tokenizers: list[Tokenizer] = [
        procedure.policy.tokenizer,
        procedure.networks.reference.tokenizer,
        context.tokenizer,
    ]
    assert len({tokenizer.digest for tokenizer in tokenizers}) == 1
    term = procedure.terms["ptx"]
    assert [piece.tolist() for piece in term.stream.pieces] == [  # type: ignore[attr-defined]
        [*context.tokenizer.encode(" ".join(WORDS)), context.tokenizer.eos_id]
    ]


def test_a_reward_model_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    folders = []
    for name, vocabulary in (
        ("policy", WORDS),
        ("reward", [*WORDS[1:], WORDS[0]]),
    ):  # the same words under other ids
        context = FakeContext(tmp_path, vocabulary=vocabulary)
        context.policy("base").save(tmp_path / name)
        context.policy("base").scalar_model(context.streams["head"]).save(
            tmp_path / f"{name}-scores"
        )
        folders.append(tmp_path / name)
    words = [
        "policy=pretrained",
        f"policy.path={folders[0]}",
        "reward_model=pretrained",
        "sft=none",
        "algorithm=ppo",
    ]
    good = resolved(
        compose(
            [*words, f"reward_model.path={folders[0]}-scores", "evaluation=none"], with_hydra=True
        )
    )
    read(good, registry())
    bad = resolved(
        compose(
            [*words, f"reward_model.path={folders[1]}-scores", "evaluation=none"], with_hydra=True
        )
    )
    with pytest.raises(UserError, match=DIFFERENT_TOKENIZERS[:40]):
        read(bad, registry())


def test_a_value_network_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    other = FakeContext(tmp_path, vocabulary=[*WORDS[1:], WORDS[0]])
    other.policy("base").scalar_model(other.streams["head"]).save(tmp_path / "value")
    with pytest.raises(UserError, match="has another tokenizer than the policy"):
        FakeContext(tmp_path, vocabulary=WORDS).load_scalar(tmp_path / "value")
