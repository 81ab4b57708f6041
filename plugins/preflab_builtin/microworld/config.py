"""Configs of the embedded world and its people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from preflab import option

WHAT_GROUPS_GET: dict[str, tuple[str, ...]] = {
    "What each group of people gets is not measured. evaluation=groups does, for simulated people; "
    "beside another evaluation: +schema/evaluator@evaluation.evaluators.groups=groups. For "
    "rankings of people the evaluator reward_accuracy says how often the reward model is right "
    "about each of a few groups, and with by_group=true of many: "
    "++evaluation.evaluators.reward_accuracy.name=reward_accuracy "
    "++evaluation.evaluators.reward_accuracy.by_group=true.": (
        "group_win_rate/a group",
        "reward_accuracy/proxy/group/a group",
    )
}
"""For components that keep groups of people apart, as their method ``to_be_measured``."""


@dataclass
class MicroworldConfig:
    """A small world made from a seed: facts, tasks, texts, users. Simulated, and labelled so."""

    name: str = option("microworld", "component")
    seed: int = option(0, "of the world; it does not follow the run's seed")
    people: int = option(16, "inhabitants, each with four facts to remember", ge=16, le=32)
    documents: int = option(
        30_000, "pretraining documents of the train split, about 12 tokens each", ge=100, fast=600
    )
    prompts: int = option(
        8_000, "instruction prompts, repeated and private ones included", ge=50, fast=200
    )
    demonstrations: int = option(
        2_000, "prompts with a response that a person wrote", ge=10, fast=60
    )
    users: int = option(300, "people who write prompts; a few write most of them", ge=5)
    held_out: int = option(
        120, "combinations of each pretraining family that no training text shows", ge=10, le=140
    )
    rude_stories: float = option(0.35, "share of stories with rude words", ge=0, le=1)
    forum: float = option(
        0.2,
        "share of documents that are forum talk, in another frame than the instruction format",
        ge=0,
        lt=1,
    )
    careless: float = option(0.12, "share of demonstrations that miss the task", ge=0, le=1)
    rude: float = option(0.2, "share of demonstrations with a rude word", ge=0, le=1)
    repeated: float = option(
        0.2,
        "share of prompts that repeat an earlier one, a quarter of them in slightly other words",
        ge=0,
        lt=1,
    )
    private: float = option(
        0.04, "share of prompts that hold a phone number or an e-mail address", ge=0, lt=1
    )
    constrained: float = option(
        0.15, "share of prompts with a constraint on the form of the response", ge=0, le=1
    )


@dataclass
class SimulatedConfig:
    """A population that compares responses: utility in parts, tastes, noise. Rankings come from all
    groups but one."""

    name: str = option("simulated", "component")
    groups: int = option(5, "groups of labelers, each with a taste of its own", ge=2, le=20)
    per_group: int = option(4, "labelers in a group", ge=1, le=100)
    held_out_group: int | None = option(
        4, "group, from 0, that labels no training data; null: all label"
    )
    labelers_per_prompt: int = option(1, "people who rank one prompt's responses", ge=1)
    noise: float = option(
        0.24, "scale of a person's logistic noise, in units of utility; sets agreement", gt=0
    )
    tie: float = option(0.08, "responses whose perceived utilities differ by less are tied", ge=0)
    taste: float = option(1.0, "multiplies tastes for polite words and length", ge=0)
    conflict: float = option(
        0.0,
        "share of a minority, a group of its own, among those who label training data; it dislikes "
        "the polite words and the length that the others like (rounded to whole people)",
        ge=0,
        lt=1,
    )
    conflict_taste: float = option(
        0.4, "what a polite word, and what ten words, cost with the minority, in utility", ge=0
    )
    ratings: bool = option(
        False,
        "they rate each response too, by the utility that they perceive: for loss=regression",
    )
    seed: int = option(0, "of the population; it does not follow the run's seed")

    def check(self) -> Iterator[tuple[str, str]]:
        """The held-out group exists, and enough people are left to ask."""
        if self.held_out_group is not None and not 0 <= self.held_out_group < self.groups:
            allowed = f"null or 0 to {self.groups - 1} (groups={self.groups})"
            yield "held_out_group", f"is {self.held_out_group} but must be {allowed}"
        people = self.majority() + self.minority()
        if self.conflict and not self.minority():
            least = f"{1 / (2 * self.majority() + 1):.3f}"
            yield "conflict", f"is {self.conflict}, less than one person: {least} is the least"
        if self.labelers_per_prompt > people:
            reason = f"but only {people} people label training data"
            yield "labelers_per_prompt", f"is {self.labelers_per_prompt}, {reason}"

    def to_be_measured(self) -> Mapping[str, Sequence[str]]:
        """What a conflict does to groups."""
        return WHAT_GROUPS_GET if self.conflict else {}

    def majority(self) -> int:
        """People of the groups who label training data."""
        return self.per_group * (self.groups - (self.held_out_group is not None))

    def minority(self) -> int:
        """People that ``conflict`` adds to them: so many that they are that share of all."""
        return round(self.conflict / (1 - self.conflict) * self.majority())


@dataclass
class LabelerGroupsConfig:
    """How well the reward model predicts people who labelled its training data, and people who did
    not."""

    name: str = option("labeler_groups", "component")

    def measured(self) -> tuple[str, ...]:
        """The accuracies."""
        parts = "training training_ceiling held_out held_out_ceiling gap".split()
        return tuple(f"labeler_groups/{part}" for part in parts)


@dataclass
class RatingsConfig:
    """Likert ratings from 1 to 7 and the flags that InstructGPT's labelers ticked, as far as the
    world defines them."""

    name: str = option("ratings", "component")

    def measured(self) -> tuple[str, ...]:
        """The ratings and the flags."""
        return (
            *(f"likert/{people}" for people in ("training", "held_out")),
            "flags/{flag}",
        )


@dataclass
class TaskDemonstrationsConfig:
    """Demonstrations in the form of public NLP tasks instead of instructions that people wrote:
    what FLAN and T0 train on."""

    name: str = option("task_demonstrations", "component")
    demonstrations: int = option(2_000, "tasks with their answers", ge=10, fast=60)
    seed: int = option(0, "of the world; it does not follow the run's seed", ge=0)


class Stance(StrEnum):
    """What demonstrations show besides the task."""

    values = "values"
    neutral = "neutral"


@dataclass
class ValuesConfig:
    """A small set of demonstrations that state a value (PALMS, Solaiman & Dennison 2021,
    2106.10328): the task is done without a mistake or an insult, and politely; or its control, the
    same right answers to the same prompts without a polite word. Without the control the set shows
    what fine-tuning does, not what the value does. All are for training."""

    name: str = option("values", "component")
    stance: Stance = option(Stance.values, "values, or neutral: the control")
    demonstrations: int = option(80, "number of them (PALMS: 80)", ge=1)
    seed: int = option(0, "of the world; it does not follow the run's seed", ge=0)
