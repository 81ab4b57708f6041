"""Heads of groups: each is trained by its own rankings, drawn to the pooled one, saved for
transformers, and weighed as the config says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from preflab.errors import UserError
from preflab.interfaces import HasNetwork, HasNetworks, OfMembers, RewardModel
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Prompt, Ranking, Rollout
from preflab.runtime import Runtime, RuntimeConfig, Sharding
from preflab_builtin.causal_lm.models import CausalHeadsModel
from preflab_builtin.groups import preflight
from preflab_builtin.groups.config import KwiseGroupsConfig, PretrainedGroupsConfig, Welfare
from preflab_builtin.groups.folder import inspect_heads
from preflab_builtin.groups.heads import distance
from preflab_builtin.groups.preflight import kwise_groups
from preflab_builtin.groups.scoring import groups_reward, pretrained_groups
from preflab_builtin.groups.training import groups_training
from preflab_builtin.groups.welfare import worst
from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig
from preflab_builtin.microworld.labelers import SimulatedLabelers
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.loss import kwise_loss
from preflab_builtin.reward_model.scoring import raw_scores
from preflab_builtin.reward_model.training import KwiseTraining
from support import WORDS, FakeContext, gradients, largest_difference

ANSWERS = ("please thanks", "bad red")


def said(group: str, better: int, i: int) -> Ranking:
    """Whether the polite answer is the better one."""
    prompt = Prompt(f"{group}{i}", WORDS[i], split="train")
    return Ranking(prompt, ANSWERS, ((better, 1 - better),), f"{group}-{i}", group)


DIVIDED = [*(said("many", 0, i) for i in range(6)), *(said("few", 1, i) for i in range(2))]
"""Six rankings of one group, two of another that wants the opposite."""


def config_of(shrink: float = 0.0, **values: Any) -> KwiseGroupsConfig:
    names = {"welfare", "weights", "weights_by_tag", "standardise", "head_rate"}
    own = {name: value for name, value in values.items() if name in names}
    rest = {name: value for name, value in values.items() if name not in names}
    optimizer = OptimizerConfig(lr=1e-2, schedule=Schedule.constant)
    kwise = KwiseConfig(**{"epochs": 1, "batch": 8, "optimizer": optimizer, **rest})
    return KwiseGroupsConfig(kwise=kwise, shrink=shrink, **own)


def training(
    folder: Path, rankings: list[Ranking], shrink: float = 0.0, micro_batch: int = 64, **values: Any
) -> KwiseTraining:
    context = FakeContext(folder, rankings, micro_batch=micro_batch)
    return groups_training(config_of(shrink, **values), context)


def heads(procedure: KwiseTraining) -> CausalHeadsModel:
    assert isinstance(procedure.model, CausalHeadsModel)
    return procedure.model


def trained(procedure: KwiseTraining, folder: Path) -> CausalHeadsModel:
    for index in range(procedure.total_steps):
        procedure.step(index)
    procedure.save(folder)
    return heads(procedure)


def built(folder: Path, **values: Any) -> RewardModel:
    return groups_reward(config_of(**values), FakeContext(folder, DIVIDED))


def people() -> SimulatedLabelers:
    config = SimulatedConfig(groups=2, per_group=2, held_out_group=None, conflict=0.2)
    return SimulatedLabelers(config, Microworld(MicroworldConfig()).gold)


def answers() -> Rollout:
    prompts = [Prompt(f"p{i}", WORDS[i]) for i in (0, 0, 3, 4)]
    texts = ["please thanks", "bad red", "bad", "red red please"]
    return Rollout.from_texts(FakeContext(Path()).tokenizer, prompts, texts)


def test_distance_by_hand() -> None:
    # Pooled: 0.75 * 1 + 0.25 * 0 = 0.75; 0.25^2 + 0.75^2 = 0.625. A share's scale does not count.
    weights = torch.tensor([[1.0], [0.0]])
    assert float(distance(weights, torch.tensor([0.75, 0.25]))) == pytest.approx(0.625)
    assert float(distance(weights, torch.tensor([6.0, 2.0]))) == pytest.approx(0.625)
    assert float(distance(torch.ones(3, 2), torch.ones(3))) == 0.0


def test_heads_begin_alike_and_know_their_shares(tmp_path: Path) -> None:
    model = heads(training(tmp_path, DIVIDED))
    assert model.names == ("few", "many")
    assert model.shares == (0.25, 0.75)
    assert torch.equal(model.weights[0], model.weights[1])
    assert float(model.weights.detach().abs().max()) > 0


def test_a_ranking_trains_its_groups_head_and_one_without_a_group_all(tmp_path: Path) -> None:
    procedure = training(tmp_path, [*DIVIDED, said("", 0, 9)])
    for example, trains in (
        (procedure.examples[0], [False, True]),
        (procedure.examples[7], [True, False]),
        (procedure.examples[8], [True, True]),
    ):
        procedure._gradients([example])
        gradient = heads(procedure).weights.grad
        assert gradient is not None
        assert [bool(row.abs().max() > 1e-6) for row in gradient] == trains
        procedure.model.module.zero_grad()


def test_the_loss_is_that_of_each_rankings_own_head(tmp_path: Path) -> None:
    procedure = training(tmp_path, [*DIVIDED, said("", 0, 9)])
    with torch.no_grad():  # heads that differ
        heads(procedure).weights[0] += 0.3
    losses = []
    for example in procedure.examples:
        ranking = example.ranking
        rows = Rollout.from_texts(procedure.context.tokenizer, [ranking.prompt] * 2, ANSWERS)
        values = raw_scores(procedure.model, rows, procedure.runtime).double()
        columns = {"few": [0], "many": [1], "": [0, 1]}[ranking.group]
        own = [float(kwise_loss(values[:, g], ranking.preferences)) for g in columns]
        losses.append(sum(own) / len(own))
    watched = procedure._gradients(procedure.examples)
    assert watched.loss == pytest.approx(sum(losses) / 9, rel=1e-5)


def test_micro_batches_change_no_gradient(tmp_path: Path) -> None:
    found = []
    for micro_batch in (64, 1):
        procedure = training(tmp_path, DIVIDED, shrink=0.5, micro_batch=micro_batch)
        with torch.no_grad():
            heads(procedure).weights[0] += 0.3
        procedure._gradients(procedure.examples)
        found.append(gradients(procedure.model.module))
    assert largest_difference(*found) < 1e-6


def test_shrinking_has_its_gradient(tmp_path: Path) -> None:
    # d/dW_g of the sum over h of |W_h - p|^2, p = s @ W: 2 (W_g - p) - 2 s_g sum_h (W_h - p).
    found = []
    for shrink in (0.0, 0.5):
        procedure = training(tmp_path, DIVIDED, shrink=shrink)
        model = heads(procedure)
        with torch.no_grad():
            model.weights[0] += 0.3
        procedure._gradients(procedure.examples)
        gradient = model.weights.grad
        assert gradient is not None
        found.append(gradient.double())
    shares = torch.tensor(model.shares, dtype=torch.double)
    apart = model.weights.detach().double() - shares @ model.weights.detach().double()
    expected = 0.5 * (2 * apart - 2 * shares[:, None] * apart.sum(0))
    assert torch.allclose(found[1] - found[0], expected, atol=1e-5)


def test_heads_learn_faster_than_the_trunk(tmp_path: Path) -> None:
    # The first step of Adam moves a weight by the learning rate, whatever the size of its gradient.
    moved = {}
    for rate in (1.0, 10.0):
        procedure = training(tmp_path, DIVIDED, head_rate=rate)
        before = {n: w.clone() for n, w in procedure.model.module.state_dict().items()}
        procedure.step(0)
        after = procedure.model.module.state_dict()
        moved[rate] = {n: (after[n] - w).abs().max() for n, w in before.items()}
    for name, distance_moved in moved[1.0].items():
        times = 10.0 if name == "score.weight" else 1.0
        assert float(moved[10.0][name]) == pytest.approx(times * float(distance_moved), rel=1e-3)
    assert float(moved[1.0]["score.weight"]) > 0


def test_each_group_learns_what_it_wants_unless_it_is_shrunk(tmp_path: Path) -> None:
    apart = {}
    prompt = Prompt("new", WORDS[4])  # the few said nothing about it
    for shrink in (0.0, 10.0):
        model = trained(training(tmp_path, DIVIDED, shrink, epochs=40), tmp_path)
        apart[shrink] = float(distance(model.weights.detach(), torch.tensor(model.shares)))
        context = FakeContext(tmp_path)
        rows = Rollout.from_texts(context.tokenizer, [prompt] * 2, ANSWERS)
        polite, rude = raw_scores(model, rows, context.runtime).tolist()
        few, many = (a - b for a, b in zip(polite, rude, strict=True))
        # Shrunk to nothing, the few are given what the many want.
        assert many > 0
        assert (few < 0) == (shrink == 0.0)
    assert apart[10.0] < 0.01 * apart[0.0]


def test_the_folder_is_an_ordinary_classifier(tmp_path: Path) -> None:
    procedure = training(tmp_path, DIVIDED)
    trained(procedure, tmp_path)
    folder, rows = tmp_path / "model", answers().rows([0])
    module: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert module.config.num_labels == 2
    assert module.config.id2label == {0: "few", 1: "many"}
    with torch.no_grad():
        given = module(input_ids=rows.input_ids, attention_mask=rows.mask.long()).logits[0]
    own = raw_scores(procedure.model, rows, procedure.runtime)[0]
    assert torch.allclose(given, own, atol=1e-4)
    facts = json.loads((folder / "preflab.json").read_text())
    assert [(head["name"], head["share"]) for head in facts["heads"]] == [
        ("few", 0.25),
        ("many", 0.75),
    ]
    context = FakeContext(tmp_path)
    read = context.load_heads(folder)
    assert torch.equal(read.weights, heads(procedure).weights)
    assert read.offsets == heads(procedure).offsets
    assert read.shares == (0.25, 0.75)
    assert read.spreads == heads(procedure).spreads
    # Centred on the ranked responses: each head's mean reward of them is 0.
    ranked = procedure._rollout(procedure.examples)
    rewards = raw_scores(read, ranked, context.runtime) - torch.tensor(read.offsets)
    assert rewards.mean(0).abs().max() < 1e-5
    with pytest.raises(
        UserError, match=r"a head for each of 2 groups .few, many.*pretrained_groups"
    ):
        context.load_scalar(folder)


def test_welfare_decides_the_score(tmp_path: Path) -> None:
    trained(training(tmp_path, DIVIDED), tmp_path)
    context, rows = FakeContext(tmp_path), answers()
    model = context.load_heads(tmp_path / "model")
    rewards = raw_scores(model, rows, context.runtime) - torch.tensor(model.offsets)
    few, many = rewards.unbind(1)
    keys = [prompt.id for prompt in rows.prompts]
    for values, expected in (
        ({}, 0.25 * few + 0.75 * many),
        ({"welfare": Welfare.equal}, 0.5 * few + 0.5 * many),
        ({"welfare": Welfare.weights, "weights": {"few": 2.0}}, few),
        ({"welfare": Welfare.worst}, worst(rewards, keys)),
    ):
        reward = built(tmp_path, **values)
        assert torch.allclose(reward.score(rows), expected, atol=1e-5)
        assert isinstance(reward, HasNetwork)
        assert isinstance(reward, HasNetworks)
        (scoring,) = reward.networks  # what leaves memory: the one that scores, and no copy of it
        assert scoring is reward.groups.model  # type: ignore[attr-defined]
        network = reward.network.copy()  # what a value function starts from
        scalar = raw_scores(network, rows, context.runtime) - network.offset
        if values.get("welfare") is Welfare.worst:
            expected = rewards.mean(1)
        else:
            assert isinstance(reward, OfMembers)
            members = reward.members(rows)
            assert list(members) == ["few", "many"]
            assert torch.equal(reward.together(members), reward.score(rows))
        assert torch.allclose(scalar, expected, atol=1e-4)


def test_a_head_knows_how_far_it_tells_the_responses_to_a_prompt_apart(tmp_path: Path) -> None:
    procedure = training(tmp_path, DIVIDED)
    model = trained(procedure, tmp_path)
    squares = torch.zeros(2, dtype=torch.double)
    for example in procedure.examples:
        rows = Rollout.from_texts(
            procedure.context.tokenizer, [example.ranking.prompt] * 2, example.ranking.responses
        )
        first, second = raw_scores(model, rows, procedure.runtime).double()
        # The unbiased variance of two numbers is half their squared difference.
        squares += (first - second) ** 2 / 2
    assert model.spreads == pytest.approx((squares / len(DIVIDED)).sqrt().tolist(), rel=1e-4)


def test_standardised_rewards_have_the_spread_that_weights_say(tmp_path: Path) -> None:
    trained(training(tmp_path, DIVIDED), tmp_path)
    model, rows = FakeContext(tmp_path).load_heads(tmp_path / "model"), answers()
    usual = sum(model.spreads) / 2
    plain = built(tmp_path)
    reward = built(tmp_path, standardise=True)
    assert isinstance(plain, OfMembers)
    assert isinstance(reward, OfMembers)
    raw, scaled = plain.members(rows), reward.members(rows)
    for name, spread in zip(model.names, model.spreads, strict=True):
        assert torch.allclose(scaled[name], raw[name] * usual / spread, atol=1e-5)
    expected = 0.25 * scaled["few"] + 0.75 * scaled["many"]
    assert torch.allclose(reward.score(rows), expected, atol=1e-5)
    assert isinstance(reward, HasNetwork)
    network = reward.network.copy()
    scalar = raw_scores(network, rows, FakeContext(tmp_path).runtime) - network.offset
    assert torch.allclose(scalar, expected, atol=1e-4)
    facts = tmp_path / "model/preflab.json"  # as an earlier version wrote it
    facts.write_text(facts.read_text().replace('"spread"', '"other"'))
    with pytest.raises(UserError, match=r"standardise.*an earlier version.*Train"):
        built(tmp_path, standardise=True)


def test_weights_by_tag_are_those_of_the_prompts_tags(tmp_path: Path) -> None:
    trained(training(tmp_path, DIVIDED), tmp_path)
    context = FakeContext(tmp_path)
    prompts = [Prompt("a", WORDS[0], tags=("about the few",)), Prompt("b", WORDS[0])]
    rows = Rollout.from_texts(context.tokenizer, prompts, [ANSWERS[0]] * 2)
    plain = built(tmp_path)
    assert isinstance(plain, OfMembers)
    few = plain.members(rows)["few"]
    reward = built(tmp_path, weights_by_tag={"about the few": {"few": 1.0}})
    expected = torch.stack([few[0], plain.score(rows)[1]])
    assert torch.allclose(reward.score(rows), expected, atol=1e-5)
    assert not isinstance(reward, OfMembers)  # no function of the groups' rewards alone
    assert not config_of(weights_by_tag={"about the few": {"few": 1.0}}).of_members()


def test_weights_are_refused_where_they_mean_nobody(tmp_path: Path) -> None:
    prompt = Prompt("a", WORDS[0], tags=("open_qa",), split="train")
    world = FakeContext(tmp_path, [prompt], labelers=people())
    for weights, message in (
        ({"open_qa": {"minorty": 1.0}}, r"weights_by_tag.open_qa.minorty.*'minority'"),
        ({"openqa": {"minority": 1.0}}, r"no prompt has the tag 'openqa'.*'open_qa'"),
    ):
        with pytest.raises(UserError, match=message):
            list(kwise_groups(config_of(weights_by_tag=weights), world))
    assert not list(kwise_groups(config_of(weights_by_tag={"open_qa": {"minority": 1.0}}), world))
    # Heads that another job has trained, under weights that it did not know.
    trained(training(tmp_path, DIVIDED), tmp_path)
    with pytest.raises(UserError, match=r"weights.fewer: .*'few'"):
        built(tmp_path, welfare=Welfare.weights, weights={"fewer": 1.0})


def test_a_trained_folder_is_taken_under_another_welfare(tmp_path: Path) -> None:
    trained(training(tmp_path, DIVIDED), tmp_path)
    context = FakeContext(tmp_path, DIVIDED)
    options: dict[str, Any] = {"welfare": Welfare.weights, "weights": {"few": 1.0}}
    config = PretrainedGroupsConfig(path=str(tmp_path / "model"), **options)
    assert inspect_heads(config).content
    assert not list(preflight.pretrained_groups(config, context))
    own = built(tmp_path, **options).score(answers())
    assert torch.equal(pretrained_groups(config, context).score(answers()), own)
    config.weights = {"fewer": 1.0}
    with pytest.raises(UserError, match=r"no training ranking of a group 'fewer'"):
        list(preflight.pretrained_groups(config, context))
    context.policy("base").scalar_model(torch.Generator()).save(tmp_path / "plain")
    config = PretrainedGroupsConfig(path=str(tmp_path / "plain"))
    with pytest.raises(UserError, match=r"no heads of groups.*kwise_groups"):
        list(preflight.pretrained_groups(config, context))


def test_one_group_none_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    for rankings, message in (
        ([said("many", 0, i) for i in range(3)], "name only the group 'many'.*kwise"),
        ([said("", 0, i) for i in range(3)], "the rankings name none.*labeler_group"),
    ):
        with pytest.raises(UserError, match=message):
            training(tmp_path, rankings)
        with pytest.raises(UserError, match=message):
            list(kwise_groups(config_of(), FakeContext(tmp_path, rankings)))
    weights: dict[str, Any] = {"welfare": Welfare.weights, "weights": {"fewer": 1.0}}
    with pytest.raises(UserError, match=r"no training ranking of a group 'fewer'.*few"):
        training(tmp_path, DIVIDED, **weights)
    with pytest.raises(UserError, match=r"no training ranking of a group 'fewer'.*few"):
        list(kwise_groups(config_of(**weights), FakeContext(tmp_path, DIVIDED)))


def test_worst_says_what_one_response_gets(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, DIVIDED)
    notice = list(kwise_groups(config_of(welfare=Welfare.worst), context))[-1]
    assert "a prompt with one response" in notice.lower()
    assert not any("one response" in said for said in kwise_groups(config_of(), context))


def test_few_pairs_are_told_and_more_so_where_they_have_much_say(tmp_path: Path) -> None:
    rankings = [*DIVIDED, *[DIVIDED[0]] * 194]
    context = FakeContext(tmp_path, rankings)
    counts, plain = kwise_groups(config_of(), context)
    assert counts == "Pairs that each group's head learns from: few 2, many 200."
    assert "few 2." in plain  # and not the 200 of the many
    assert "many" not in plain.partition(":")[2].partition(".")[0]
    for loud in ({"welfare": Welfare.equal}, {"standardise": True}):
        _, notice = kwise_groups(config_of(**loud), context)
        assert notice.startswith(plain)
        assert "the say of a group with many pairs" in notice
    counts, _ = kwise_groups(config_of(), FakeContext(tmp_path, [*rankings, said("", 0, 1)]))
    assert counts.endswith(" 1 of 203 rankings have no group and train every head.")
    accounts = training(tmp_path, DIVIDED).accounting([])
    assert (accounts["pairs of few"], accounts["pairs of many"]) == (2, 6)


def test_divided_weights_are_refused_where_heads_are_drawn_together(tmp_path: Path) -> None:
    """Also by `preflab plan`, which is one process whatever the run will have."""
    context = FakeContext(tmp_path, DIVIDED)
    context.runtime = Runtime(RuntimeConfig(processes=2, sharding=Sharding.full))
    with pytest.raises(UserError, match=r"sharding=full.*shrink=0"):
        list(kwise_groups(config_of(shrink=0.1), context))
    # Alone it divides nothing, and without shrink it is only said that both groups have few pairs.
    _, notice = kwise_groups(config_of(shrink=0.0), context)
    assert notice.startswith("Groups with fewer than 200 pairs to learn from: few 2, many 6.")
    context.runtime = Runtime(RuntimeConfig(sharding=Sharding.full))
    assert notice in kwise_groups(config_of(shrink=0.1), context)
