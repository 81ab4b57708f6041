"""GPT-2's and Llama's forward passes on the weights of a transformers module, with less time and
memory: the same numbers up to rounding (`runtime.fast_paths`; the README says what they leave out).

All that the rest of causal_lm uses is in this file: `fast_path` of a module, `extend` with the
cache that its `prefill` returned, and `head_log_probs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from preflab_builtin.causal_lm.cost import PassCost
from preflab_builtin.causal_lm.fast.blocks import (
    Blocks,
    Compute,
    again,
    directly,
    plainly,
    wanted_states,
)
from preflab_builtin.causal_lm.fast.compiling import compiled
from preflab_builtin.causal_lm.fast.decoding import SlotCache, extend, prefill
from preflab_builtin.causal_lm.fast.kernels import head_log_probs
from preflab_builtin.causal_lm.fast.packing import Rows, SharedRows, with_shared_prefixes
from preflab_builtin.causal_lm.fast.supported import (
    Hooks,
    blocks_of,
    hooks_on,
    is_plain_projection,
)

__all__ = [
    "FastPath",
    "SlotCache",
    "extend",
    "fast_path",
    "head_log_probs",
    "is_plain_projection",
]


def fast_path(
    module: Any, cost: PassCost, checkpointing: bool = False, compiling: bool = False
) -> FastPath | None:
    """The fast path of a transformers module; None where only the module's own forward pass is
    right: for other families, and with layers or hooks that are not plain. checkpointing: the
    backward pass computes every block again, where no hook may draw random numbers; compiling: the
    blocks are compiled (compiling.py), where there is no hook to call."""
    hooks = hooks_on(getattr(module, module.base_model_prefix))
    blocks = None if hooks is Hooks.others else blocks_of(module)
    if blocks is None:
        return None
    plain = hooks is Hooks.none
    compute = again if checkpointing and plain else directly
    run = compiled if compiling and plain else plainly
    return FastPath(blocks, hooks is Hooks.tokens, cost, compute, run)


class FastPath:
    """Reads batches without pads. whole_rows: hooks need all tokens of every row in order, so that
    no prompt is shared and no token left out; cost: counts the passes."""

    def __init__(
        self,
        blocks: Blocks,
        whole_rows: bool,
        cost: PassCost,
        compute: Compute = directly,
        run: Callable[..., Any] = plainly,
    ) -> None:
        self.blocks, self.whole_rows, self.cost = blocks, whole_rows, cost
        self.compute, self.run = compute, run

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ids, mask [B, T] -> last hidden states [B, T, D], zeros on pads."""
        states = self._states(Rows.of(ids, mask, mask))
        return states.new_zeros(*mask.shape, states.shape[1]).masked_scatter(
            mask[..., None], states
        )

    def hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prompt_width: int
    ) -> torch.Tensor:
        """Last hidden states [W, D] of the wanted real tokens; rows with equal prompts (their first
        ``prompt_width`` columns) share them."""
        if self.whole_rows:
            return self.hidden(ids, mask)[wanted]
        batch = with_shared_prefixes(ids, mask, wanted, prompt_width)
        return self._states(batch or Rows.of(ids, mask, wanted))

    def prefill(
        self, ids: torch.Tensor, mask: torch.Tensor, graphs: bool
    ) -> tuple[torch.Tensor, SlotCache]:
        """Left-padded prompts [B, Q] -> last hidden states of their last tokens [B, D], and a
        cache for `extend`, with the same ``graphs``."""
        return prefill(self.blocks, ids, mask, graphs)

    def _states(self, batch: Rows | SharedRows) -> torch.Tensor:
        seen = batch.positions + 1
        tokens, pairs = len(batch.ids), int(seen.sum())
        if batch.wanted_grid is None:
            self.cost.count(tokens, pairs)
        else:
            pairs_left_out = pairs - int(seen[batch.wanted].sum())
            self.cost.count(tokens, pairs, tokens - len(batch.wanted), pairs_left_out)
        self.blocks.run = self.run
        return wanted_states(self.blocks, batch, self.compute)
