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
    `BatchReward`, distinguished by the names of its parameters. Its docstring becomes the
    component's. The function itself stays what it is.

    Raises `PluginError` naming file and line if it has other parameters.
    """
    name, where = function.__name__, place(function)
    parameters = inspect.signature(function).parameters.values()
    given = tuple(p.name for p in parameters if p.default is p.empty)
    if given not in SIGNATURES or inspect.iscoroutinefunction(function):
        allowed = " or ".join(f"{name}({', '.join(names)})" for names in SIGNATURES)
        names = ", ".join(p.name for p in parameters)
        raise PluginError(f"{where}: a reward is a function {allowed}, not {name}({names})")

    def build(config: Any, context: Any) -> FunctionReward:
        return FunctionReward(function, of_texts=True, takes_batch=SIGNATURES[given])

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
    """`preflab.interfaces.RewardModel` from a function of a `Prompt` and a response's text. What it
    returns is checked, because a wrong number trains silently.

    of_texts: the function is given the prompt's text instead of the `Prompt`. takes_batch: it is
    given lists of prompts and of responses, and returns a list of rewards.
    """

    def __init__(
        self, function: Callable[..., Any], of_texts: bool = False, takes_batch: bool = False
    ) -> None:
        self.function, self.of_texts, self.takes_batch = function, of_texts, takes_batch

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32; `PluginError` naming file, line and function for a value that is not
        a reward."""
        import torch

        texts, responses = [p.text for p in rollout.prompts], list(rollout.texts)
        prompts: Sequence[Any] = texts if self.of_texts else rollout.prompts
        if self.takes_batch:
            values = self._several(list(prompts), responses) if prompts else []
        else:
            values = list(map(self._call, prompts, responses))
        numbers = [self._number(*row) for row in zip(values, texts, responses, strict=True)]
        return torch.tensor(numbers, dtype=torch.float32, device=rollout.prompt_ids.device)

    def _several(self, prompts: list[Any], responses: list[str]) -> list[Any]:
        returned = self._call(prompts, responses)
        try:
            values = list(returned)
        except TypeError:
            raise self._wrong(f"returned {returned!r}, which is not a list of numbers") from None
        if len(values) != len(prompts):
            raise self._wrong(f"returned {len(values)} rewards for {len(prompts)} responses")
        return values

    def _call(self, prompt: Any, response: Any) -> Any:
        try:
            return self.function(prompt, response)
        except Exception as error:
            file = inspect.unwrap(self.function).__code__.co_filename
            lines = [
                frame.lineno
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename == file
            ]
            at = f" in line {lines[-1]}" if lines else ""
            text = prompt if self.of_texts or self.takes_batch else prompt.text
            where = "" if self.takes_batch else f" {_where(text, response)}"
            raise self._wrong(f"raised {type(error).__name__}: {error}{at}{where}") from error

    def _number(self, value: Any, prompt: str, response: str) -> float:
        where = _where(prompt, response)
        if not hasattr(value, "__float__"):
            raise self._wrong(f"returned {value!r}, which is not a number, {where}")
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._wrong(
                f"returned {value!r}, which is not a single number, {where}"
            ) from error
        if not math.isfinite(number):
            raise self._wrong(f"returned {number} {where}: a reward must be finite")
        return number

    def _wrong(self, what: str) -> PluginError:
        return PluginError(
            f"{place(self.function)}: the reward function {self.function.__name__} {what}."
        )


def _where(prompt: str, response: str) -> str:
    return f"for the prompt {prompt!r} and the response {response!r}"
