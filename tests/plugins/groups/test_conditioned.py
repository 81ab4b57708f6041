"""One policy for several groups: what it reads, whose reward counts, and what each group judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import AnswersGroups, AtTemperature, BestOf
from preflab.offload import networks_of
from preflab.options import problems
from preflab.records import Message, Prompt, Ranking, Rollout
from preflab_builtin.baselines.config import BestOfNConfig
from preflab_builtin.combined.config import CombinedConfig
from preflab_builtin.groups.asking import groups
from preflab_builtin.groups.conditioned import (
    ForGroups,
    ForGroupsTraining,
    asking,
    for_groups,
    preflight,
)
from preflab_builtin.groups.config import ForGroupsConfig, KwiseGroupsConfig
from preflab_builtin.groups.evaluators import GroupsConfig
from preflab_builtin.groups.prefixes import asked, check_words, group_of, named, plain, prefixes
from preflab_builtin.microworld.config import MicroworldConfig, SimulatedConfig
from preflab_builtin.microworld.labelers import SimulatedLabelers
from preflab_builtin.microworld.source import Microworld
from preflab_builtin.ppo.config import PPOConfig
from support import FakeContext

PROMPTS = [Prompt(f"p{i}", text, split="train") for i, text in enumerate(("one plus", "two"))]
BEST = ForGroupsConfig(algorithm=BestOfNConfig(n=8), prefix="{group} is ")


class TwoGroups:
    """`preflab.interfaces.RewardModel` and `OfMembers`: red likes long responses, blue short ones;
    it remembers the prompts that it read."""

    def __init__(self) -> None:
        self.read: list[tuple[str, list[int]]] = []

    def members(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        tokens = rollout.tokens()
        self.read += [(p.text, ids) for p, (ids, _) in zip(rollout.prompts, tokens, strict=True)]
        lengths = rollout.response_lengths.float()
        return {"red": lengths, "blue": -lengths}

    def together(self, members: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(members.values())).mean(0)

    def score(self, rollout: Rollout) -> torch.Tensor:
        return self.together(self.members(rollout))

    @property
    def networks(self) -> Sequence[Any]:
        return ["both"]


def context_of(folder: Path, reward: Any = None) -> FakeContext:
    return FakeContext(folder, PROMPTS, reward=reward or TwoGroups())


def test_a_prompt_is_asked_for_a_group_and_is_itself_again() -> None:
    words = prefixes("{group} {number} : ", ["nurses", "doctors"])
    assert words == {"doctors": "doctors 1 : ", "nurses": "nurses 2 : "}
    talk = Prompt("c", "user: hi", messages=(Message("user", "hi"), Message("assistant", "yes")))
    for prompt in (replace(PROMPTS[0], notes={"include": []}), talk):
        told = asked(prompt, "nurses", words["nurses"])
        assert told.text == f"nurses 2 : {prompt.text}"
        assert group_of(told) == "nurses"
        assert named(told, words) == "nurses"
        assert named(prompt, words) is None
        assert plain(told) == prompt
        # A text of the data that begins in the same way is a text.
        again = asked(replace(told, notes={}), "nurses", words["nurses"])
        assert again.text == f"nurses 2 : nurses 2 : {prompt.text}"
        assert plain(again) == replace(told, notes={})
    assert asked(talk, "nurses", "N: ").messages[0].content == "N: hi"


def test_a_response_is_worth_what_its_own_group_says(tmp_path: Path) -> None:
    reward = TwoGroups()
    context = context_of(tmp_path, reward)
    own, words = asking(BEST, context)
    assert words == {"blue": "blue is ", "red": "red is "}
    prompts = own.records("prompts", "train")  # each prompt for each group
    assert [p.text for p in prompts[:2]] == ["blue is one plus", "red is one plus"]
    assert len(prompts) == 4
    rollout = Rollout.from_texts(context.tokenizer, prompts[:2], ["red", "red red"])
    # With their end tokens 2 and 3 long: blue does not like the first, red likes the second.
    assert own.reward_model().score(rollout).tolist() == [-2.0, 3.0]
    plain_ids = context.tokenizer.encode_prompt(PROMPTS[0])
    assert reward.read == [("one plus", plain_ids)] * 2
    assert own.stage == context.stage  # all else is the run's
    networks: Sequence[object] = networks_of(own.reward_model())
    assert networks == ["both"]  # what leaves memory is what scores


def test_the_best_of_n_is_chosen_by_the_groups_own_reward(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    answers = for_groups(BEST, context)
    assert isinstance(answers, AnswersGroups)
    assert isinstance(answers, BestOf)
    assert isinstance(answers, AtTemperature)
    assert (answers.n, answers.groups) == (8, ["blue", "red"])
    long, short = (answers.respond_for([g] * 2, PROMPTS, (1, "x")) for g in ("red", "blue"))
    assert int(long.response_lengths.sum()) > int(short.response_lengths.sum())
    assert long.prompts == tuple(PROMPTS)  # the prefix is not shown to who judges
    assert long.tokens()[0][0] == context.tokenizer.encode_prompt(PROMPTS[0])
    # The reward reads neither the group's prefix nor that of an evaluation.
    reward = TwoGroups()
    with_text = for_groups(BEST, context_of(tmp_path, reward)).with_prefix("good ")
    with_text.respond(PROMPTS, (1, "x"))
    assert {text for text, _ in reward.read} == {prompt.text for prompt in PROMPTS}
    # A prefix that a person types chooses the group; a prompt of the data is a text.
    typed = [replace(p, text=f"blue is {p.text}") for p in PROMPTS]
    rollout = answers.as_typed().respond(typed, (1, "x"))
    assert rollout.texts == short.texts
    assert rollout.prompts == tuple(typed)
    assert {*answers.as_typed().groups_for(typed, (1, "x"))} == {"blue"}
    many = [replace(typed[0], id=str(i)) for i in range(20)]
    assert {*answers.groups_for(many, (1, "x"))} == {"blue", "red"}
    # What a server reckons with: the form of each group, or of the one that is named.
    assert [p.text for p in answers.forms(PROMPTS[1])] == ["blue is two", "red is two"]
    assert [p.text for p in answers.as_typed().forms(typed[1])] == ["blue is two"]
    told = answers.with_prefix("good ").forms(PROMPTS[1])
    assert [p.text for p in told] == ["blue is good two", "red is good two"]
    drawn = [answers.respond(PROMPTS, (seed, "y")).texts for seed in range(6)]
    assert drawn[0] == answers.respond(PROMPTS, (0, "y")).texts
    assert len(set(drawn)) > 1
    assert answers.at_temperature(0.0).temperature == 0.0


def test_an_algorithm_learns_for_each_group(tmp_path: Path) -> None:
    config = ForGroupsConfig(
        algorithm=PPOConfig(name="ppo", episodes=16, batch=8, minibatch=8), prefix="{group} is "
    )
    reward, seen = TwoGroups(), []
    context = context_of(tmp_path, reward)
    training = ForGroupsTraining(config, context)
    for index in range(training.total_steps):
        training.step(index)
    for rollout, _ in context.seen:
        seen += [prompt.text for prompt in rollout.prompts]
    assert len(seen) == 16
    assert set(seen) == {f"{g} is {p.text}" for g in ("red", "blue") for p in PROMPTS}
    assert {text for text, _ in reward.read} == {p.text for p in PROMPTS}
    accounting = training.accounting([{"objective/eos_rate": 1.0}] * 2)
    assert (accounting["groups"], accounting["prompts"]) == (2, 4)
    training.save(tmp_path)
    answers = for_groups(config, context)
    assert answers.n == 1
    assert len(answers.respond_for(["red"] * 2, PROMPTS, (1,))) == 2


def test_without_a_reward_of_each_group_it_is_refused(tmp_path: Path) -> None:
    class One:
        def score(self, rollout: Rollout) -> torch.Tensor:
            return torch.zeros(len(rollout))

    with pytest.raises(UserError, match=r"kwise_groups with any .*welfare but worst"):
        asking(BEST, context_of(tmp_path, One()))


def test_prefixes_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    for words, message in (
        ({"a": "one is ", "b": "nurse is "}, "no tokens for all of 'nurse is '"),
        ({"a": "one ", "b": "one two "}, "beginning of another"),
        ({"a": "one", "b": "two"}, "makes one word with the text behind it"),
    ):
        with pytest.raises(UserError, match=message):
            check_words(context.tokenizer, words, "algorithm.prefix")
    with pytest.raises(UserError, match="no tokens for all"):  # digits are words in this world
        list(preflight(ForGroupsConfig(prefix="{number} is "), context))
    assert not list(preflight(BEST, context))


def test_the_prefixes_of_all_groups_are_looked_at_before_the_work(tmp_path: Path) -> None:
    """16 positions less 8 leave 8. "one plus" has 2 tokens; "red blue is " 3, "good ... is " 7."""

    class Known(FakeContext):
        names: Sequence[str] = ()

        def members(self) -> Sequence[str]:
            return self.names

    context = Known(tmp_path, PROMPTS, policy_config={"max_positions": 16}, stage="algorithm")
    assert not list(preflight(BEST, context))  # nobody knows the groups yet
    assert list(BEST.in_front(context)) == [" is "]
    context.names = ("red blue", "blue")
    assert not list(preflight(BEST, context))
    context.names = ("red blue", "good good good good good good")
    message = r"1 of 2 prompts has more than 8 tokens.*\(9 tokens\).*shorten the text in front of"
    with pytest.raises(UserError, match=message):
        list(preflight(BEST, context))
    context.names = ("red blue", "nurses")
    with pytest.raises(UserError, match="no tokens for all of 'nurses is '"):
        list(preflight(BEST, context))
    # Where they are known once the rewards are there, it is said before the first step.
    later = FakeContext(tmp_path, PROMPTS, reward=TwoGroups(), policy_config={"max_positions": 11})
    with pytest.raises(UserError, match="1 of 2 prompts has more than 3 tokens"):
        ForGroupsTraining(BEST, later)


def test_reward_models_name_their_groups_before_they_are_made(tmp_path: Path) -> None:
    people = SimulatedLabelers(SimulatedConfig(conflict=0.2), Microworld(MicroworldConfig()).gold)
    config, context = KwiseGroupsConfig(), FakeContext(tmp_path, labelers=people)
    assert config.member_names(context) == sorted({person.group for person in people.people})
    ranked = [
        Ranking(replace(PROMPTS[0], split="train"), ("one", "two"), ((0, 1),), "x", group)
        for group in ("nurses", "doctors", "")
    ]
    assert config.member_names(FakeContext(tmp_path, ranked)) == ["doctors", "nurses"]
    combined = CombinedConfig(members={"b": object(), "a": object()})
    assert combined.member_names(context) == ["b", "a"]


@pytest.mark.parametrize(
    "values, key",
    [
        ({"algorithm": None}, "algorithm"),
        ({"algorithm": PPOConfig(seed=3)}, "algorithm.seed"),
        ({"algorithm": PPOConfig(continues="x")}, "algorithm.continues"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "always the same"}, "prefix"),
        ({"prefix": "{name} : "}, "prefix"),
        ({"prefix": "{group.name} : "}, "prefix"),
        ({"prefix": "{group[name]} : "}, "prefix"),
        ({"prefix": "{"}, "prefix"),
    ],
)
def test_what_is_refused(values: dict[str, Any], key: str) -> None:
    config = ForGroupsConfig(**{"algorithm": PPOConfig(), **values})
    assert key in [name for name, _ in problems(config)]
    assert not list(problems(ForGroupsConfig(algorithm=BestOfNConfig(), prefix="")))


# --- what each group judges ---


class Says:
    """`AnswersGroups`: red to group-0 and a polite word to the minority."""

    groups: Sequence[str] = ("group-0", "minority")

    def __init__(self, context: FakeContext) -> None:
        self.context, self.policy = context, context.policy("base")

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        return Rollout.from_texts(self.context.tokenizer, prompts, ["good"] * len(prompts))

    def groups_for(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Sequence[str]:
        return ["minority"] * len(prompts)

    def as_typed(self) -> Says:
        return self

    def respond_for(
        self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        texts = [{"group-0": "red", "minority": "please"}[group] for group in groups]
        return Rollout.from_texts(self.context.tokenizer, prompts, texts)


def test_each_group_judges_what_is_said_to_it(tmp_path: Path) -> None:
    config = SimulatedConfig(groups=3, per_group=4, held_out_group=2, conflict=0.2)
    people = SimulatedLabelers(config, Microworld(MicroworldConfig()).gold)
    context = FakeContext(tmp_path, labelers=people)
    prompts = [Prompt(f"{i}", "user : hello assistant :", notes={"include": []}) for i in range(2)]
    says = Says(context)
    baseline = Rollout.from_texts(context.tokenizer, prompts, ["thanks please", "blue"])
    subject: Any = SimpleNamespace(
        rollout=says.respond(prompts, ()), baseline=baseline, responder=says
    )
    found = groups(GroupsConfig(), context).evaluate(subject).measures
    assert next(iter(found)) == "group_utility/minority"
    # The groups that it does not know judge what it says to anybody.
    said = {"group-0": "red", "minority": "please", "group-1": "good", "group-2": "good"}
    for group, text in said.items():
        worth = [people.mean_utility(group, p, text) for p in prompts]
        other = [
            people.mean_utility(group, p, t) for p, t in zip(prompts, baseline.texts, strict=True)
        ]
        wins = [
            people.preference(p, text, t, group)
            for p, t in zip(prompts, baseline.texts, strict=True)
        ]
        assert found[f"group_utility/{group}"].value == pytest.approx(sum(worth) / 2)
        assert found[f"group_gain/{group}"].value == pytest.approx((sum(worth) - sum(other)) / 2)
        assert found[f"group_win_rate/{group}"].value == pytest.approx(sum(wins) / 2)
    # Everybody who labels: 4 of group-0, 4 of group-1, 2 of the minority; not the held-out group.
    for kind in ("group_utility", "group_gain", "group_win_rate"):
        own = {group: found[f"{kind}/{group}"].value for group in said}
        expected = 0.4 * own["group-0"] + 0.4 * own["group-1"] + 0.2 * own["minority"]
        assert found[f"{kind}/everybody"].value == pytest.approx(expected)


def test_the_held_temperature_is_replaced(tmp_path: Path) -> None:
    answers = for_groups(BEST, context_of(tmp_path))
    greedy = answers.at_temperature(0.0)
    assert isinstance(greedy, ForGroups)
    assert greedy.words == answers.words
