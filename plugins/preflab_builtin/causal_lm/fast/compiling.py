"""`runtime.compile`: what a block computes on either side of attention as one call of code that
torch.compile makes, in the place of twenty and more.

Shapes: N tokens.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from preflab_builtin.causal_lm.fast.blocks import Step
from preflab_builtin.causal_lm.fast.projections import Project, Weights

BACKEND: Any = "inductor"
"""What torch.compile calls. Tests, which need no compiler of C++, set another one."""
FEWEST = 2
"""Tokens: of a single one torch would make code that knows their number."""
USUAL = 4096
"""Tokens that the code is made for, whatever the first batch has: so that a run that was killed and
goes on with another batch computes with the same code. It is right for any number."""
MOST = 64
"""Codes of one step, 8 by itself: for each shape of a model in a process, with and without a
gradient, with and without frozen weights. One more is an error, and not computed uncompiled."""


def compiled(step: Step, parts: Any, sizes: Any, project: Project, *tokens: Any) -> Any:
    """Run a step as `blocks.plainly` does, compiled. The weights are arguments, so that all layers
    share the code."""
    if len(tokens[0]) < FEWEST:
        return step(parts, sizes, project, *tokens)
    _mark(tokens)
    weights = type(parts)(*map(Weights.of, parts))
    return _code_of(step, BACKEND)(weights, sizes, project, *tokens)


def _mark(tokens: Any) -> None:
    """Say that the number of tokens varies."""
    from torch._dynamo import mark_dynamic

    for part in tokens:
        if isinstance(part, torch.Tensor):
            mark_dynamic(part, 0, hint_override=USUAL)
        elif part is not None:
            _mark(part)


@cache
def _code_of(step: Step, backend: Any) -> Step:
    """What computes a step; it is made at its first call, and again where what it knows of its
    arguments changes."""
    from torch._dynamo import config  # imported where something is compiled: it takes a second

    config.recompile_limit = max(config.recompile_limit, MOST)
    # Kernels are not chosen by the clock: the same run would have other bits another time.
    options: dict[str, Any] | None = {"deterministic": True} if backend == "inductor" else None
    made: Step = torch.compile(
        step, fullgraph=True, dynamic=False, backend=backend, options=options
    )
    return made
