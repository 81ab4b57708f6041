"""A plugin file whose components are each wrong in one way, for test_contracts.py. It also imports
torch where it must not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from preflab import Component, Inspection, hookimpl, option
from preflab.interfaces import Context, Evaluation, Measure, Policy, Subject
from preflab.randomness import derive_seed
from preflab.records import Prompt, Ranking, Rollout


class Walk:
    """An algorithm that adds noise to the policy and reports a loss over prompts; ``name`` says
    what is wrong with it."""

    def __init__(self, name: str, context: Context) -> None:
        self.name, self.context, self.total_steps = name, context, 3
        self.policy = context.policy("initial")
        self.prompts = context.records("prompts", "train") if name != "deaf" else []
        if name == "undeclared":
            context.records("documents", "train")
        self.done = 0

    def step(self, index: int) -> Mapping[str, Any]:
        if self.name == "global_noise":
            scale = float(torch.rand(()))
        elif self.name == "python_noise":
            scale = random.random()
        else:
            scale = 1.0 + self.done
        seed = derive_seed(0 if self.name == "seedless" else self.context.seed, index)
        if self.name != "lazy":
            for parameter in self.policy.module.parameters():
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
                parameter.data.add_(0.01 * scale * noise)
        self.done += 1
        return {
            "loss/walk": self._loss(),
            "done": "many" if self.name == "wordy" else float(self.done),
        }

    def _loss(self) -> float:
        groups = [
            [float(len(p.text)) for p in part]
            for part in self.context.runtime.micro_batches(self.prompts)
        ]
        if self.name == "averages":
            return sum(sum(g) / len(g) / len(g) for g in groups) / len(groups)
        return sum(map(sum, groups)) / max(1, len(self.prompts))

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"policy": self.policy.module.state_dict()}
        return state if self.name == "forgetful" else {**state, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.name != "stubborn":
            self.policy.module.load_state_dict(state["policy"])
        self.done = state.get("done", 0)

    def save(self, folder: Path) -> None:
        self.policy.save(folder / "model")


ALGORITHMS = (
    "global_noise python_noise seedless lazy wordy averages forgetful stubborn undeclared deaf"
).split()


def score(name: str, context: Context) -> Any:
    """A reward model that is wrong."""

    class Reward:
        def score(self, rollout: Rollout) -> torch.Tensor:
            lengths = rollout.response_lengths.float()
            values: dict[str, Callable[[], torch.Tensor]] = {
                "centred": lambda: lengths - lengths.mean(),
                "column": lambda: lengths[:, None],
                "double": lambda: lengths.double(),
                "infinite": lambda: lengths.log() / 0,
                "noisy": lambda: lengths + torch.rand(len(lengths)),
                "trainable": lambda: lengths.requires_grad_(),
            }
            return values[name]()

    return Reward()


REWARDS = "centred column double infinite noisy trainable".split()


def shaping(name: str, context: Context) -> Any:
    """A reward shaping that is wrong."""
    seen: list[torch.Tensor] = []

    def shape(scores: torch.Tensor, rollout: Rollout) -> Any:
        values: dict[str, Callable[[], Any]] = {
            "listing": lambda: scores.tolist(),
            "summing": lambda: scores.sum(),
            "dividing": lambda: scores / scores,
            "overwriting": lambda: scores.mul_(2),
            "ranking": lambda: scores * torch.arange(len(scores)),
            "remembering": lambda: scores - torch.stack([*seen, scores]).mean(),
            "gambling": lambda: scores + context.seed,
        }
        result = values[name]()
        if len(scores):
            seen.append(scores.clone())
        return result

    return shape


SHAPINGS = "listing summing dividing overwriting ranking remembering gambling".split()


class Term:
    """A gradient term that is wrong: a pull of every weight towards 0."""

    def __init__(self, name: str, coef: float, context: Context) -> None:
        self.name, self.coef, self.context, self.calls = name, coef, context, 0

    def accumulate(self, policy: Policy, step: int, episodes: int) -> Mapping[str, float]:
        self.calls += 1
        coef = 1.0 if self.name == "deafening" else self.coef
        for parameter in policy.module.parameters():
            if self.name == "silent":
                continue
            parameter.grad = (
                coef * parameter.detach() * (self.calls if self.name == "amnesiac" else 1)
            )
            if self.name == "piecewise":
                parameter.grad /= self.context.runtime.micro_batch
            if self.name == "pushy":
                parameter.data.sub_(parameter.grad)
        return {"loss/term": 0.0}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


TERMS = "deafening silent amnesiac piecewise pushy".split()


class Source:
    """A data source that is wrong."""

    gold = None

    def __init__(self, name: str, context: Context) -> None:
        self.name, self.seed = name, context.seed
        self.vocabulary = ["one"] if name == "illiterate" else None  # then it is a World

    def records(self, record_type: str) -> Iterator[Any]:
        prompts = [
            Prompt("p" if self.name == "double_ids" else f"p{i}", f"one {i}") for i in range(4)
        ]
        if self.name == "restless":
            random.Random(self.seed).shuffle(prompts)
        if record_type == "rankings" and self.name == "selfish":
            yield Ranking(prompts[0], ("a", "b"), ((1, 1),))
        if record_type == "documents" and self.name == "confused":
            yield prompts[0]
        if record_type == "prompts":
            yield from prompts


SOURCES = {
    "double_ids": 4,
    "restless": 4,
    "illiterate": 4,
    "miscounting": 5,
    "selfish": 4,
    "confused": 4,
}


class Labeler:
    """A labeler that is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        shown = tuple(responses[:-1]) if self.name == "hasty" else tuple(responses)
        pairs: tuple[tuple[int, int], ...] = (
            ((0, 1), (1, 0)) if self.name == "torn" and len(shown) > 1 else ()
        )
        if self.name == "moody" and len(shown) > 1 and random.random() < 0.5:
            pairs = ((0, 1),)
        return [Ranking(prompt, shown, pairs)]

    def preference(self, prompt: Prompt, first: str, second: str) -> float:
        return 0.75 if self.name == "biased" else 0.5


LABELERS = "hasty torn moody biased".split()


class Judge:
    """An evaluator that is wrong."""

    def __init__(self, name: str, context: Context) -> None:
        self.name = name
        if name == "nosy":
            context.records("documents", "test")

    def evaluate(self, subject: Subject) -> Evaluation:
        value = random.random() if self.name == "fickle" else 0.5
        low = 0.6 if self.name == "beside" else 0.0
        values = {"x": [0.0]} if self.name == "short" else {}
        cases = {"x": {"a": 0.25, "b": 0.5}} if self.name == "scaled" else {}
        return Evaluation({"x": Measure(value, low, 1.0, len(subject.rollout))}, values, cases)


JUDGES = "fickle beside short nosy scaled".split()


def policy(name: str, context: Context) -> Any:
    """The tiny policy with a fault."""
    from preflab.testing import component

    tiny = component("policy", "tiny")
    assert tiny.build is not None
    source = tiny.build(tiny.config_class(layers=1, width=16, heads=2), context)
    create = source.create

    def faulty(generator: torch.Generator) -> Any:
        model = create(torch.Generator().manual_seed(1) if name == "frozen" else generator)
        hidden = model.hidden
        if name == "maskless":
            model.hidden = lambda ids, mask: hidden(ids, torch.ones_like(mask))
        if name == "siamese":
            model.copy = lambda: model
        return model

    source.create = faulty
    return source


POLICIES = "maskless siamese frozen".split()


def engine(name: str, context: Context) -> Any:
    """The native engine with a fault."""
    from preflab.testing import component

    native = component("rollout", "native")
    assert native.build is not None
    sound: Any = native.build(native.config_class(max_tokens=8), context)
    generate = sound.generate

    def wrong(
        policy: Policy, prompts: Sequence[Prompt], sampling: Any, seed: Sequence[int | str]
    ) -> Rollout:
        if name == "sharp":
            sampling = replace(sampling, temperature=0.8 * sampling.temperature)
        if name == "seeded_once":
            seed = (1, "contract")
        if name == "row_blind":
            sampling = replace(sampling, first_row=0)
        if name == "unsettling":
            policy.module.train(not policy.module.training)
        rollout: Rollout = generate(policy, prompts, sampling, seed)
        if name == "mistaken":
            return replace(rollout, terminated=~rollout.terminated)
        return rollout

    sound.generate = wrong
    return sound


ENGINES = "sharp seeded_once row_blind unsettling mistaken".split()


def sieve(name: str, context: Context) -> Any:
    """A filter that is wrong."""

    def apply(records: list[Any]) -> tuple[list[Any], Mapping[str, int]]:
        values: dict[str, Callable[[], tuple[list[Any], Mapping[str, int]]]] = {
            "leaky": lambda: (records[1:], {}),
            "reversing": lambda: (records[::-1], {}),
            "drifting": lambda: (
                records[context.seed % 2 :],
                {"first": min(context.seed % 2, len(records))},
            ),
            "consuming": lambda: ([records.pop(0) for _ in list(records)], {}),
        }
        return values[name]()

    return apply


SIEVES = "leaky reversing drifting consuming".split()


@dataclass
class SilentConfig:
    name: str = option("silent_config", "component")
    size: int = field(default=1)


@dataclass
class ShyConfig:
    """A default out of its range."""

    name: str = option("shy_config", "component")
    size: int = option(0, "what is measured", ge=1)


@dataclass
class SplitConfig:
    """Two fields that exclude each other, without saying so about a known field."""

    name: str = option("split_config", "component")
    size: int = option(1, "what is measured", ge=1)

    def __post_init__(self) -> None:
        self.size = max(self.size, 1)


def _config(name: str, **more: float) -> type[Any]:
    fields = [
        ("name", str, option(name, "component")),
        *((k, float, option(v, "a number", ge=0)) for k, v in more.items()),
    ]
    config_class = make_dataclass(f"{name}_config", fields)
    config_class.__doc__ = "A faulty component."
    return config_class


def _all(kind: str, names: Iterable[str], coef: bool = False, **functions: Any) -> list[Component]:
    fields = {"coef": 1.0} if coef else {}
    return [Component(kind, name, _config(name, **fields), **functions) for name in names]


def _inspect(config: Any) -> Inspection:
    return Inspection(records={"prompts": SOURCES[config.name]})


MISPLACED = Component(
    "select",
    "misplaced",
    _config("misplaced"),
    build="preflab.records:Prompts",
    procedure="preflab.records:with_split",
    inspect="preflab.randomness:derive_seed",
)


@hookimpl
def preflab_components() -> list[Component]:
    """All of them."""
    return [
        *_all("algorithm", ALGORITHMS, procedure=lambda c, x: Walk(c.name, x), needs=["prompts"]),
        *_all("reward_model", REWARDS, build=lambda c, x: score(c.name, x)),
        *_all("rollout", ENGINES, build=lambda c, x: engine(c.name, x)),
        *_all("filter", SIEVES, build=lambda c, x: sieve(c.name, x)),
        *_all("reward_shaping", SHAPINGS, build=lambda c, x: shaping(c.name, x)),
        *_all("gradient_term", TERMS, coef=True, build=lambda c, x: Term(c.name, c.coef, x)),
        *_all("data", SOURCES, build=lambda c, x: Source(c.name, x), inspect=_inspect),
        *_all("labeler", LABELERS, build=lambda c, x: Labeler(c.name)),
        *_all("evaluator", JUDGES, build=lambda c, x: Judge(c.name, x)),
        *_all("policy", POLICIES, build=lambda c, x: policy(c.name, x)),
        Component("algorithm", "silent_config", SilentConfig, needs=["promts"]),
        Component("select", "shy_config", ShyConfig),
        Component("select", "split_config", SplitConfig),
        MISPLACED,
    ]
