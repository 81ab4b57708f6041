"""A plugin whose algorithm, and a part of it, have something to say before the first stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preflab import Component, UserError, hookimpl, option
from preflab.errors import Absent

CALLS = Path("calls")
"""In the working directory: a line for each time that the algorithm is asked."""


@dataclass
class OutspokenConfig:
    """What it says."""

    name: str = option("outspoken", "component")
    says: str = option("", "sentence; fail, refuse, raise and text are behaviours")
    part: Any = option(None, "something nested")
    seed: int | None = option(None, "pins the seed")


@dataclass
class PartConfig:
    """A part."""

    name: str = "part"
    says: str = field(default="", metadata={"doc": "sentence"})


class OneStep:
    """A procedure of one step."""

    def __init__(self, config: OutspokenConfig, context: Any) -> None:
        self.total_steps = 1

    def step(self, index: int) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""

    def save(self, folder: Path) -> None:
        (folder / "done.txt").write_text("done")


def preflight(config: OutspokenConfig, context: Any) -> Iterable[str]:
    """What the config tells it to say, with what the context knows."""
    with CALLS.open("a") as stream:
        stream.write(f"{context.stage} {context.seed}\n")
    if config.says in ("fail", "refuse"):
        raise UserError(f"{context.stage}.says={config.says} fails: say something else")
    if config.says == "absent":
        raise Absent("no server answers: start it")
    if config.says == "raise":
        raise ValueError("raised on purpose")
    if config.says == "text":
        return "a text"
    prompts = context.records("prompts", "train")
    limit, tokens = context.max_positions, context.tokenizer.encode_prompt(prompts[0])
    return [f"{config.says}: {len(tokens) < limit}"]


def part(config: PartConfig, context: Any) -> Iterable[str]:
    """What the config tells it to say."""
    yield from [config.says] * 2


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm and its part, and stages around it."""
    nested = {"part": "part"}
    return [
        Component(
            "algorithm",
            "outspoken",
            OutspokenConfig,
            procedure=OneStep,
            nested=nested,
            preflight=preflight,
        ),
        Component(
            "evaluation", "outspoken", OutspokenConfig, procedure=OneStep, preflight=preflight
        ),
        Component("pretrain", "outspoken", OutspokenConfig, procedure=OneStep),
        Component("part", "part", PartConfig, build=lambda config, context: 1, preflight=part),
    ]
