"""A plugin whose components work like built-in ones until the method of their kind is called:
then ``fault`` happens. For test_blame.py."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Component, Inspection, hookimpl, option


@dataclass
class BreakingConfig:
    """How to break."""

    name: str = option("breaking", "component")
    fault: str = option(
        "",
        "raise, exit, none, nan, or a place: build, inspect, inspect none, needs, check, post_init",
    )
    coef: float = option(1.0, "of a gradient term")

    def __post_init__(self) -> None:
        if self.fault == "post_init":
            raise ValueError("on purpose")

    def check(self) -> Any:
        return 3 if self.fault == "check" else []


def _broken(config: Any, nan: Callable[[], Any] = lambda: math.nan) -> Any:
    if config.fault == "raise":
        raise ValueError("on purpose")
    if config.fault == "exit":
        sys.exit(0)
    return nan() if config.fault == "nan" else None


class Steps:
    """An algorithm of four steps that breaks in the third."""

    total_steps = 4

    def __init__(self, config: Any, context: Any) -> None:
        self.config = config

    def step(self, index: int) -> Mapping[str, float]:
        return {"loss/x": 1.0} if index < 2 else _broken(self.config, lambda: {"loss/x": math.nan})

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """It has no state."""

    def save(self, folder: Path) -> None:
        (folder / "done.txt").touch()


def _standing_in(
    kind: str, name: str, method: str, nan: Callable[..., Any] | None = None, **options: int
) -> Callable[[Any, Any], Any]:
    """build: a built-in component with these options, or an empty object, whose method breaks."""

    def build(config: Any, context: Any) -> Any:
        from preflab.testing import component

        built: Any = None
        if config.fault == "build":
            raise ValueError("on purpose")
        if config.fault == "build none":
            return None
        if name:
            original = component(kind, name)
            assert original.build is not None
            built = original.build(original.config_class(**options), context)

        def broken(*arguments: Any, **named: Any) -> Any:
            return _broken(config, lambda: nan(*arguments) if nan else math.nan)

        if built is None and method == "__call__":
            return broken
        built = built or type("Breaking", (), {"state_dict": dict, "load_state_dict": print})()
        setattr(built, method, broken)
        return built

    return build


def _nan_scores(*arguments: Any) -> Any:
    import torch

    rollout = arguments[-1]
    return torch.full((len(rollout.texts),), math.nan)


def _nan_gradient(policy: Any, *rest: Any) -> Mapping[str, float]:
    for parameter in policy.module.parameters():
        parameter.grad = parameter.detach() * math.nan
    return {}


def _nan_measure(*rest: Any) -> Any:
    from preflab.interfaces import Evaluation, Measure

    return Evaluation({"x": Measure(math.nan, 0.0, 1.0, 1)}, {})


def _inspect(config: Any) -> Any:
    if config.fault == "inspect":
        raise ValueError("on purpose")
    return None if config.fault == "inspect none" else Inspection(records={"prompts": 8})


def _needs(config: Any) -> tuple[str, ...]:
    if config.fault == "needs":
        raise ValueError("on purpose")
    return ()


BUILT = {
    "policy": _standing_in("policy", "tiny", "create", layers=1, width=16, heads=2),
    "reward_model": _standing_in("reward_model", "", "score", _nan_scores),
    "gradient_term": _standing_in("gradient_term", "", "accumulate", _nan_gradient),
    "reward_shaping": _standing_in("reward_shaping", "", "__call__", _nan_scores),
    "data": _standing_in("data", "", "records"),
    "filter": _standing_in("filter", "", "__call__"),
    "transform": _standing_in("transform", "", "__call__"),
    "labeler": _standing_in("labeler", "", "rank"),
    "evaluator": _standing_in("evaluator", "", "evaluate", _nan_measure),
    "rollout": _standing_in("rollout", "native", "generate", max_tokens=8),
}


@hookimpl
def preflab_components() -> list[Component]:
    """One of each kind, all called breaking."""
    asks: dict[str, Any] = {"needs": _needs, "inspect": _inspect}
    return [
        *(
            Component(kind, "breaking", BreakingConfig, build=b, **asks)
            for kind, b in BUILT.items()
        ),
        Component("algorithm", "breaking", BreakingConfig, procedure=Steps, **asks),
    ]
