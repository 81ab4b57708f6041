"""A plain function as a reward model.

# my_rewards.py
import preflab

@preflab.reward
def short(prompt: str, response: str) -> float:
    \"\"\"Minus the number of words.\"\"\"
    return -len(response.split())

preflab --plugin my_rewards.py reward_model=short algorithm=ppo
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from preflab.components import Component
from preflab.errors import PluginError
from preflab.options import option

if TYPE_CHECKING:
    import torch

    from preflab.records import Rollout


class SampleReward(Protocol):
    """The reward of one response; higher is better."""

    def __call__(self, prompt: str, response: str) -> float: ...


class BatchReward(Protocol):
    """The rewards of B responses, one each, in order. Nobody promises which responses share a
    batch."""

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequence[float]: ...


SIGNATURES = {("prompt", "response"): False, ("prompts", "responses"): True}
"""Names of the parameters: whether the function takes a batch."""
F = TypeVar("F", bound=Callable[..., Any])


def reward(function: F) -> F:
    """Make a function a reward_model component of its own name: a `SampleReward` or a
    `BatchReward`, told apart by the names of its parameters. Its docstring becomes the component's.
    The function itself stays what it is.

    Raises `PluginError` naming file and line if it has other parameters.
    """
    name, where = function.__name__, place(function)
    parameters = inspect.signature(function).parameters.values()
    given = tuple(p.name for p in parameters if p.default is p.empty)
    if given not in SIGNATURES or inspect.iscoroutinefunction(function):
        allowed = " or ".join(f"{name}({', '.join(names)})" for names in SIGNATURES)
        raise PluginError(
            f"{where}: a reward is a function {allowed}, not {name}({', '.join(p.name for p in parameters)})"
        )

    def build(config: Any, context: Any) -> FunctionReward:
        return FunctionReward(function, SIGNATURES[given])

    fields = [("name", str, option(name, "component"))]
    config_class = dataclasses.make_dataclass(f"{name}_config", fields)
    config_class.__doc__ = inspect.getdoc(function) or f"The function {name} of {Path(where).name}."
    function.preflab_component = Component("reward_model", name, config_class, build=build)  # type: ignore[attr-defined]
    return function


def place(function: Callable[..., Any]) -> str:
    """FILE:LINE of a function's ``def``."""
    code = inspect.unwrap(function).__code__
    try:
        lines, first = inspect.getsourcelines(function)
    except OSError:
        return f"{code.co_filename}:{code.co_firstlineno}"
    before = next(
        (i for i, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def "))), 0
    )
    return f"{code.co_filename}:{first + before}"


class FunctionReward:
    """`preflab.interfaces.RewardModel` from a function. What it returns is checked, because a wrong
    number trains silently."""

    def __init__(self, function: Callable[..., Any], takes_batch: bool) -> None:
        self.function, self.takes_batch = function, takes_batch

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32; `PluginError` naming file, line and function for what is no
        reward."""
        import torch

        prompts, responses = [p.text for p in rollout.prompts], list(rollout.texts)
        if self.takes_batch:
            values = self._several(prompts, responses) if prompts else []
        else:
            values = [
                self._call(prompt, response)
                for prompt, response in zip(prompts, responses, strict=True)
            ]
        numbers = [self._number(*row) for row in zip(values, prompts, responses, strict=True)]
        return torch.tensor(numbers, dtype=torch.float32, device=rollout.prompt_ids.device)

    def _several(self, prompts: list[str], responses: list[str]) -> list[Any]:
        returned = self._call(prompts, responses)
        try:
            values = list(returned)
        except TypeError:
            raise self._wrong(f"returned {returned!r}, which is no list of numbers") from None
        if len(values) != len(prompts):
            raise self._wrong(f"returned {len(values)} rewards for {len(prompts)} responses")
        return values

    def _call(self, *arguments: Any) -> Any:
        try:
            return self.function(*arguments)
        except Exception as error:
            file = inspect.unwrap(self.function).__code__.co_filename
            lines = [
                frame.lineno
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename == file
            ]
            at = f" in line {lines[-1]}" if lines else ""
            shown = (
                ""
                if self.takes_batch
                else f" for the prompt {arguments[0]!r} and the response {arguments[1]!r}"
            )
            raise self._wrong(f"raised {type(error).__name__}: {error}{at}{shown}") from error

    def _number(self, value: Any, prompt: str, response: str) -> float:
        about = f"for the prompt {prompt!r} and the response {response!r}"
        if not hasattr(value, "__float__"):
            raise self._wrong(f"returned {value!r}, which is no number, {about}")
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._wrong(f"returned {value!r}, which is no single number, {about}") from error
        if not math.isfinite(number):
            raise self._wrong(f"returned {number} {about}: a reward must be finite")
        return number

    def _wrong(self, what: str) -> PluginError:
        return PluginError(
            f"{place(self.function)}: the reward function {self.function.__name__} {what}."
        )
