"""Answers that are asked in another way than the run asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflab.interfaces import AnyPrefix, BestOf, Policy
from preflab.records import Message, Prompt, Rollout
from preflab.responders import PolicyResponder, Prefixed, adjusted, reading
from preflab_builtin.baselines.best_of_n import BestOfN
from support import FakeContext, UncheckedReward

PROMPTS = [Prompt("a", "one plus", split="test"), Prompt("b", "two", split="test")]
SEED = (1, "test")


class Twice:
    """It draws twice, answers at its own temperature, and remembers what it was asked."""

    n = 2

    def __init__(self, policy: Policy) -> None:
        self.policy, self.asked = policy, list[str]()

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        self.asked += [prompt.text for prompt in prompts]
        return Rollout.from_texts(self.policy.tokenizer, prompts, ["red"] * len(prompts))


def test_the_policy_reads_the_prefix_and_the_responses_follow_the_plain_prompts(
    tmp_path: Path,
) -> None:
    context = FakeContext(tmp_path)
    plain = context.responder("result")
    told = [replace(p, text=f"good red {p.text}") for p in PROMPTS]
    found = reading(reading(plain, "good "), "red ").respond(PROMPTS, SEED)
    given = plain.respond(told, SEED)
    assert [r for _, r in found.tokens()] == [r for _, r in given.tokens()]
    assert found.prompts == tuple(PROMPTS)
    assert [q for q, _ in found.tokens()] == [
        context.tokenizer.encode_prompt(prompt) for prompt in PROMPTS
    ]
    assert reading(plain, "") is plain
    talk = Prompt("c", "user: one", messages=(Message("user", "one"),))
    assert isinstance(plain, AnyPrefix)
    assert reading(plain, "good ").respond([talk], SEED).prompts == (talk,)


def test_what_chooses_among_responses_reads_the_prompt_as_it_is(tmp_path: Path) -> None:
    read: list[str] = []

    def length(prompt: Prompt, text: str) -> float:
        read.append(prompt.text)
        return float(len(text))

    reward = UncheckedReward(length)
    context = FakeContext(tmp_path, reward=reward)
    best = BestOfN(3, context.policy("base"), context.rollout(), reward)
    told = reading(best, "good ")
    assert isinstance(told, BestOfN)
    told.respond(PROMPTS, SEED)
    assert set(read) == {"one plus", "two"}


def test_a_strange_responder_is_asked_with_the_prefix_too(tmp_path: Path) -> None:
    strange = Twice(FakeContext(tmp_path).policy("base"))
    told = reading(strange, "good ")
    assert isinstance(told, Prefixed)
    assert isinstance(told, BestOf)  # nobody takes its responses for draws from its policy
    assert told.respond(PROMPTS, SEED).prompts == tuple(PROMPTS)
    assert strange.asked == ["good one plus", "good two"]


def test_temperature_and_length_are_those_asked_for(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)  # its engine: temperature 1, 8 tokens
    plain, engine = context.responder("result"), context.rollout()
    assert adjusted(plain, engine, 1.0, 8) is plain
    other = adjusted(plain, engine, 0.0, 3)
    assert isinstance(other, PolicyResponder)
    greedy = other.respond(PROMPTS, SEED)
    assert int(greedy.response_lengths.max()) <= 3
    assert greedy.texts == other.respond(PROMPTS, (2, "other")).texts
    strange = Twice(plain.policy)
    assert adjusted(strange, engine, 1.0, 8) is strange
    assert adjusted(strange, engine, 0.0, 8) is None
    assert adjusted(strange, engine, 1.0, 9) is None


def test_rows_that_are_asked_several_times_are_the_samples_of_the_engine(tmp_path: Path) -> None:
    """So that k responses to a prompt are those that the engine draws in one call, to the bit."""
    context = FakeContext(tmp_path)
    policy, engine = context.policy("base"), context.rollout()
    together = engine.generate(policy, PROMPTS, replace(engine.sampling, samples=3), SEED)
    each = [prompt for prompt in PROMPTS for _ in range(3)]
    assert PolicyResponder(policy, engine).respond(each, SEED).tokens() == (together.tokens())


def test_evaluators_that_sample_ask_the_responder_of_their_subject() -> None:
    """But for the continuations of documents, which are no prompts, and the pool of the policy that
    training started from."""
    plugins = Path(__file__).parents[2] / "plugins"
    asking = {
        path.name
        for path in plugins.rglob("*.py")
        if "def evaluate(self, subject" in (text := path.read_text(encoding="utf8"))
        and ".generate(" in text
    }
    assert asking == {"documents.py", "best_of_n_curve.py"}
