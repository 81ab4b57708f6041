"""Several guards as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preflab.interfaces import Context
from preflab.records import Prompt
from preflab_builtin.guard.config import ChainConfig
from preflab_builtin.guard.verdicts import Guard, Verdict, strictest


@dataclass(frozen=True)
class Chain:
    """`preflab_builtin.guard.verdicts.Guard`: every guard looks; the strictest action counts."""

    guards: tuple[Guard, ...]

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict each."""
        verdicts = [guard.check(prompts, responses) for guard in self.guards]
        return [strictest(row) for row in zip(*verdicts, strict=True)]


def chain(config: ChainConfig, context: Context) -> Chain:
    """The guards in their order."""
    return Chain(tuple(context.component("guard", one) for one in config.guards.values()))
