"""What policies and scalar models share: reading tokens, adapters, copies, saving. B batch, T
tokens, W wanted tokens, D width."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from preflab.errors import UserError
from preflab.launched import is_main
from preflab.sharding import copied, inside, is_sharded
from preflab_builtin.causal_lm.adapters import (
    has_adapters,
    name_of,
    with_adapters,
    without_adapters,
    write_adapter,
)
from preflab_builtin.causal_lm.attention import model_inputs, positions_of
from preflab_builtin.causal_lm.config import LoraConfig
from preflab_builtin.causal_lm.cost import PassCost
from preflab_builtin.causal_lm.fast import FastPath, fast_path
from preflab_builtin.causal_lm.fast.supported import Hooks, hooks_on
from preflab_builtin.causal_lm.saving import save_model
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

_CHECKPOINTING, _CHECKPOINTING_BEFORE = "activation_checkpointing", "gradient_checkpointing"
"""What transformers calls it, and what it called it before."""


class CausalBackbone:
    """What policies and scalar models share: reading tokens and saving.

    module: a transformers model with float32 weights and no dropout. fast: use the fast paths
    where there are some (`runtime.fast_paths`). The embedding's padding_idx is taken away, so that
    the pad id is an ordinary token for gradients.
    """

    kind = ""

    def __init__(self, module: Any, tokenizer: TextTokenizer, fast: bool = True) -> None:
        self.module: Any = _prepared(module)
        self.tokenizer = tokenizer
        self.fast = fast
        self.lora: LoraConfig | None = None
        """Adapters that a model gets which is to be trained; None: all weights are trained."""
        self.checkpointing = False
        """Whether the backward pass computes every block again (`runtime.checkpointing`)."""
        self.compiling = False
        """Whether the fast path is compiled (`runtime.compile`)."""
        self.origin = ""
        """The folder that it was read from."""
        self.cost = PassCost(module)

    @property
    def base_name(self) -> str:
        """What the module calls the part without its head."""
        return str(self.module.base_model_prefix)

    @property
    def base(self) -> Any:
        """The module without its head."""
        return getattr(self.module, self.base_name)

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most; None: the model's config names no limit."""
        limit: int | None = getattr(self.module.config, "max_position_embeddings", None)
        return limit

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ids [B, T], mask [B, T] bool -> last hidden states [B, T, D]; those of pads mean
        nothing."""
        return inside(self.module, self._hidden, ids, mask)

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self._check_length(mask)
        if (fast := self._fast_path()) is not None:
            return fast.hidden(ids, mask)
        self._count(mask)
        with self._keeping_less():
            output = self.base(use_cache=False, **self._inputs(ids, mask))
        states: torch.Tensor = output.last_hidden_state
        # transformers' GPT-2 gives a view, of which torch warns where weights are divided.
        return states.clone() if is_sharded(self.module) and states._is_view() else states

    def hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prompt_width: int = 0
    ) -> torch.Tensor:
        """The last hidden states [W, D] of the wanted tokens only, row by row. ids [B, T]; mask,
        wanted [B, T] bool; equal prompts (the first ``prompt_width`` columns) may be read once."""
        self._check_length(mask)
        if bool((wanted & ~mask).any()):
            raise ValueError("a hidden state is wanted on a pad: is a prompt empty?")
        return inside(self.module, self._hidden_at, ids, mask, wanted, prompt_width)

    def _hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prompt_width: int
    ) -> torch.Tensor:
        if (fast := self._fast_path()) is not None:
            return fast.hidden_at(ids, mask, wanted, prompt_width)
        return self._hidden(ids, mask)[wanted]

    def save(self, folder: Path) -> None:
        """Write an ordinary transformers folder; an existing one is replaced as a whole. Of several
        processes all take part, and the first one writes."""
        main, adapter = is_main(), None
        module = copied(self.module, keep=main) if is_sharded(self.module) else self.module
        if not main:
            return
        if has_adapters(module):
            if self.lora is not None:
                base = name_of(Path(self.origin), folder)
                adapter = partial(write_adapter, module, self.lora, base)
            module = without_adapters(module, merged=True)
        save_model(module, self.tokenizer, folder, self.kind, self._facts(), adapter)

    def adapted(self, generator: torch.Generator) -> Self | None:
        """A model to be trained: with new adapters, drawn from the generator, that change nothing
        yet, and with the frozen weights of this one. None: all weights are to be trained."""
        if self.lora is None:
            return None
        return self._around(with_adapters(self.module, self.lora, generator))

    def without_adapters(self) -> Self | None:
        """What this model was when its adapters were new, on the same weights; None: it has no
        adapters."""
        if self.lora is None or not has_adapters(self.module):
            return None
        return self._around(without_adapters(self.module))

    def _around(self, module: Any) -> Self:
        twin = copy.copy(self)
        # The copy of a divided module is what that was before a backbone was made of it.
        twin.module, twin.cost = _prepared(module), PassCost(module)
        return twin

    def copy(self) -> Self:
        """An independent copy; of divided weights a whole one, for which every process takes
        part."""
        return self._around(copied(self.module))

    def _as(self, other: CausalBackbone) -> Self:
        """This model, trained and saved as the other one, on whose weights it is."""
        self.lora, self.origin = other.lora, other.origin
        self.checkpointing, self.compiling = other.checkpointing, other.compiling
        return self

    def _facts(self) -> dict[str, Any]:
        """What preflab.json says besides the kind."""
        return {}

    def _fast_path(self) -> FastPath | None:
        if not self.fast:
            return None
        return fast_path(self.module, self.cost, self.checkpointing, self.compiling)

    @contextmanager
    def _keeping_less(self) -> Iterator[None]:
        """Within it transformers computes blocks again in the backward pass, if that was asked for,
        gradients are wanted and no hook draws random numbers. It does so in training mode only,
        which changes nothing else: there is no dropout."""
        base = self.base
        hooked = hooks_on(base) is not Hooks.none
        if not self.checkpointing or hooked or not torch.is_grad_enabled():
            yield
            return
        if not base.supports_gradient_checkpointing:
            raise UserError(
                f"transformers computes no blocks of {type(base).__name__} again: "
                "runtime.checkpointing=false, and runtime.micro_batch=8 takes less memory too."
            )
        switch = (
            _CHECKPOINTING if hasattr(base, f"{_CHECKPOINTING}_enable") else _CHECKPOINTING_BEFORE
        )
        settings = {"use_reentrant": False, "preserve_rng_state": False}
        getattr(base, f"{switch}_enable")(settings)
        base.train()
        try:
            yield
        finally:
            base.eval()
            getattr(base, f"{switch}_disable")()

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        return model_inputs(self.module.config.model_type, ids, mask)

    def _count(self, mask: torch.Tensor) -> None:
        self.cost.count(int(mask.sum()), int((positions_of(mask)[mask] + 1).sum()))

    def _check_length(self, mask: torch.Tensor) -> None:
        limit = self.max_positions
        if limit is not None and mask.shape[1] > limit:
            raise UserError(
                f"A batch is {mask.shape[1]} tokens wide, but the policy has {limit} positions. "
                "Shorten prompts or responses, or raise policy.max_positions (a model made from "
                "scratch)."
            )


def _prepared(module: Any) -> Any:
    """A transformers model whose pad id is an ordinary token for gradients."""
    embedding = module.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        embedding.padding_idx = None
    return module.eval()
