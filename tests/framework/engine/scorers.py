"""A plugin's reward models that say in which process they were asked: as Python's hash of texts
does, they give every process other numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

import preflab
from preflab import hookimpl
from preflab.components import Component
from preflab.launched import is_main
from preflab.options import option


def by_process(response: str) -> float:
    """Its number of words, and 100 for a process that is not the first."""
    return len(response.split()) + (0 if is_main() else 100)


@preflab.reward
def spoken(prompts, responses):  # type: ignore[no-untyped-def]
    """Notes what it is asked."""
    with Path(f"asked-{0 if is_main() else 1}").open("a", encoding="utf8") as file:
        file.writelines(f"{response}\n" for response in responses)
    return [by_process(response) for response in responses]


@preflab.reward
def broken(prompt: str, response: str) -> float:
    """Of one response that process 1 has."""
    if response == "bad bad bad":
        raise ValueError("no number for it")
    return 0.0


class Taking:
    """Takes part in what all processes do."""

    def __init__(self, config: Any, context: Any) -> None:
        self.runtime = context.runtime

    def score(self, rollout: Any) -> torch.Tensor:
        """Of all rows on every process."""
        rows = sum(self.runtime.gather([len(rollout)]))
        return torch.tensor([rows + by_process(text) for text in rollout.texts])


class Late:
    """Asks for the processes only when it scores."""

    least = -7.0

    def __init__(self, config: Any, context: Any) -> None:
        self.context = context

    def score(self, rollout: Any) -> torch.Tensor:
        """As if it was alone."""
        total: torch.Tensor = self.context.runtime.sum(torch.tensor(float(len(rollout))))
        return total.repeat(len(rollout))


class Wrong(Late):
    """Samples while it scores."""

    def score(self, rollout: Any) -> torch.Tensor:
        """Never."""
        self.context.rollout()
        raise AssertionError


class Short(Late):
    """Gives one number too few."""

    def score(self, rollout: Any) -> torch.Tensor:
        """A row is missing."""
        return torch.zeros(len(rollout) - 1)


class Members(Late):
    """Two opinions."""

    def score(self, rollout: Any) -> torch.Tensor:
        """Their sum."""
        return self.together(self.members(rollout))

    def members(self, rollout: Any) -> dict[str, torch.Tensor]:
        """By process, and by length."""
        first = torch.tensor([float(by_process(text)) for text in rollout.texts])
        return {"first": first, "second": torch.tensor([1.0 * len(t) for t in rollout.texts])}

    def together(self, members: dict[str, torch.Tensor]) -> torch.Tensor:
        """Their sum."""
        return members["first"] + members["second"]


CLASSES = (Taking, Late, Wrong, Short, Members)


@hookimpl
def preflab_components() -> list[Component]:
    """The classes; functions are found by themselves."""
    return [
        Component("reward_model", c.__name__.lower(), _config(c.__name__.lower()), build=c)
        for c in CLASSES
    ]


def _config(name: str) -> type:
    fields = [("name", str, option(name, "component"))]
    made = dataclasses.make_dataclass(f"{name}_config", fields)
    made.__doc__ = "Nothing to set."
    return made
