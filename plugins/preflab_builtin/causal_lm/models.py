"""Policies and scalar models around transformers modules.

Each method is transformers' own forward pass, and before it the one hop to `fast`, which computes
the same for GPT-2 and Llama with less time and memory. Shapes: B batch, Q prompt tokens, T tokens,
D width, V vocabulary. Positions always come from the mask.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from transformers import DynamicCache

from preflab.errors import UserError
from preflab.functional import entropy, token_log_probs
from preflab.interfaces import Cache
from preflab.runtime import is_main
from preflab.sharding import copied, inside, is_sharded
from preflab_builtin.causal_lm.adapters import (
    has_adapters,
    name_of,
    with_adapters,
    without_adapters,
    write_adapter,
)
from preflab_builtin.causal_lm.attention import PLAIN_CAUSAL, model_inputs, positions_of
from preflab_builtin.causal_lm.cache import KeyValueCache
from preflab_builtin.causal_lm.classifiers import classifier
from preflab_builtin.causal_lm.config import LoraConfig
from preflab_builtin.causal_lm.cost import PassCost, count_head
from preflab_builtin.causal_lm.fast import (
    FastPath,
    SlotCache,
    extend,
    fast_path,
    head_log_probs,
    is_plain_projection,
)
from preflab_builtin.causal_lm.fast.supported import Hooks, hooks_on
from preflab_builtin.causal_lm.heads import Heads
from preflab_builtin.causal_lm.saving import save_model
from preflab_builtin.causal_lm.tokenizer import TextTokenizer
from preflab_builtin.causal_lm.versions import version, whole_weights

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
        self.module: Any = module.eval()
        self.tokenizer = tokenizer
        self.fast = fast
        self.lora: LoraConfig | None = None
        """Adapters that a model gets which is to be trained; None: all weights are trained."""
        self.checkpointing = False
        """Whether the backward pass computes every block again (`runtime.checkpointing`)."""
        self.origin = ""
        """The folder that it was read from."""
        self.cost = PassCost(module)
        embedding = module.get_input_embeddings()
        if isinstance(embedding, nn.Embedding):
            embedding.padding_idx = None

    @property
    def base(self) -> Any:
        """The module without its head."""
        return getattr(self.module, self.module.base_model_prefix)

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
        return states

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
        twin.module, twin.cost = module, PassCost(module)
        return twin

    def copy(self) -> Self:
        """An independent copy; of divided weights a whole one, for which every process takes
        part."""
        return self._around(copied(self.module))

    def _as(self, other: CausalBackbone) -> Self:
        """This model, trained and saved as the other one, on whose weights it is."""
        self.lora, self.origin = other.lora, other.origin
        self.checkpointing = other.checkpointing
        return self

    def _facts(self) -> dict[str, Any]:
        """What preflab.json says besides the kind."""
        return {}

    def _fast_path(self) -> FastPath | None:
        return fast_path(self.module, self.cost, self.checkpointing) if self.fast else None

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


class CausalPolicy(CausalBackbone):
    """A causal language model (`preflab.interfaces.Policy`)."""

    kind = "policy"

    def __init__(
        self, module: Any, tokenizer: TextTokenizer, fast: bool = True, graphs: bool = False
    ) -> None:
        """graphs: the fast path decodes with a step that a GPU records once and repeats
        (`runtime.decode_graphs`)."""
        super().__init__(module, tokenizer, fast)
        self.graphs = graphs

    @property
    def version(self) -> str:
        """A text that stands for the weights."""
        return version(self.module)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The whole network by name, tied tensors under each of theirs."""
        return whole_weights(self.module)

    @property
    def head(self) -> Any:
        """The unembedding."""
        return self.module.get_output_embeddings()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> float32 logits [..., V], in float32 also under autocast: in bfloat16 a
        step of a logit near 16 is 0.06 to 0.125, which is too coarse for log-probs and ratios."""
        return inside(self.module, self._logits, hidden)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            logits: torch.Tensor = self.head(hidden.float())
        return logits

    def log_probs(
        self,
        hidden: torch.Tensor,
        ids: torch.Tensor,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden [N, D] and the token that follows each, ids [N] -> its log-probability under
        softmax(logits / temperature), and the entropies (zeros if not asked for; no gradient),
        [N] float32."""
        count_head(self.head, len(ids), trained=hidden.requires_grad)
        return inside(self.module, self._log_probs, hidden, ids, temperature, with_entropy)

    def _log_probs(
        self, hidden: torch.Tensor, ids: torch.Tensor, temperature: float, with_entropy: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.fast and is_plain_projection(self.head):
            return head_log_probs(self.head, hidden, ids, temperature, with_entropy)
        logits = self._logits(hidden)
        log_probs = token_log_probs(logits, ids, temperature)
        if not with_entropy:
            return log_probs, torch.zeros_like(log_probs)
        return log_probs, entropy(logits.detach(), temperature)

    def prefill(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, KeyValueCache | SlotCache]:
        """Read left-padded prompts [B, Q] -> next-token logits [B, V] and the cache."""
        self._check_length(mask)
        self._count(mask)
        if is_plain_projection(self.head) and (fast := self._fast_path()) is not None:
            states, slots = fast.prefill(ids, mask, self.graphs)
            return self.logits(states), slots
        past = DynamicCache(config=self.module.config)
        output = self.base(use_cache=True, past_key_values=past, **self._inputs(ids, mask))
        cache = KeyValueCache(past, mask, mask.sum(-1, keepdim=True), not bool(mask.all()))
        return self.logits(output.last_hidden_state[:, -1]), cache

    def extend(
        self, tokens: torch.Tensor, cache: Cache
    ) -> tuple[torch.Tensor, KeyValueCache | SlotCache]:
        """Read one more token per row [B] -> next-token logits [B, V] and the cache (``cache``
        itself is used up)."""
        assert isinstance(cache, (SlotCache, KeyValueCache)), (
            "the cache must come from this policy's prefill"
        )
        self.cost.count(len(tokens), cache.tokens + len(tokens))
        count_head(self.head, len(tokens))
        if isinstance(cache, SlotCache):
            return extend(tokens, cache, self.head, self.graphs), cache
        mask = torch.cat([cache.mask, cache.mask.new_ones(len(tokens), 1)], dim=1)
        attention = None
        if cache.padded:
            plain = self.module.config.model_type in PLAIN_CAUSAL
            attention = mask[:, None, None, :] if plain else mask.long()
        output = self.base(
            input_ids=tokens[:, None],
            attention_mask=attention,
            position_ids=cache.positions,
            past_key_values=cache.past,
            use_cache=True,
        )
        grown = KeyValueCache(cache.past, mask, cache.positions + 1, cache.padded)
        return self.logits(output.last_hidden_state[:, 0]), grown

    def scalar_model(self, generator: torch.Generator) -> CausalScalarModel:
        """A copy whose unembedding is replaced by a scalar head drawn from N(0, 1/(D+1)), no bias
        (Ziegler et al. 2019)."""
        module = self._classifier(generator, 1)
        return CausalScalarModel(module, self.tokenizer, fast=self.fast)._as(self)

    def heads_model(self, generator: torch.Generator, names: Sequence[str]) -> CausalHeadsModel:
        """The same with a head for each name; all begin as the same draw."""
        module = self._classifier(generator, len(names))
        module.config.id2label = dict(enumerate(names))
        module.config.label2id = {name: i for i, name in enumerate(names)}
        heads = Heads.even(names)
        return CausalHeadsModel(module, self.tokenizer, heads, self.fast)._as(self)

    def _classifier(self, generator: torch.Generator, heads: int) -> Any:
        base = (self.copy() if is_sharded(self.module) else self).base
        return classifier(self.module.config, base, self.tokenizer.pad_id, heads, generator)


class CausalScalarModel(CausalBackbone):
    """A backbone with one number per position (`preflab.interfaces.ScalarModel`)."""

    kind = "scalar model"

    def __init__(
        self, module: Any, tokenizer: TextTokenizer, offset: float = 0.0, fast: bool = True
    ) -> None:
        super().__init__(module, tokenizer, fast)
        self.offset = offset

    def values(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> raw values [...] float32 (the offset is not subtracted)."""
        return inside(self.module, self._values, hidden).squeeze(-1)

    def _values(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            values: torch.Tensor = self.module.score(hidden.float())
        return values

    def _facts(self) -> dict[str, Any]:
        return {"offset": self.offset}


class CausalHeadsModel(CausalBackbone):
    """A backbone with several numbers per position (`preflab.interfaces.HeadsModel`)."""

    kind = "model with several heads"

    def __init__(
        self, module: Any, tokenizer: TextTokenizer, heads: Heads, fast: bool = True
    ) -> None:
        super().__init__(module, tokenizer, fast)
        self.names, self.offsets, self.shares = heads.names, heads.offsets, heads.shares

    @property
    def weights(self) -> torch.Tensor:
        """The heads as one parameter [G, D]."""
        weights: torch.Tensor = self.module.score.weight
        return weights

    def values(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> raw values [..., G] float32 (no offset is subtracted)."""
        return inside(self.module, self._values, hidden)

    def _values(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.weights)

    def weighted(self, weights: Sequence[float]) -> CausalScalarModel:
        """An independent copy with one head: the weighted sum of the heads and of their offsets."""
        module: Any = copied(self.module)
        module.config.num_labels = 1
        heads = module.score.weight.detach().double()
        mix = torch.tensor(list(weights), dtype=torch.float64, device=heads.device)
        module.score = nn.Linear(heads.shape[1], 1, bias=False, device="meta")
        module.score.weight = nn.Parameter((mix @ heads).float()[None])
        offset = sum(w * o for w, o in zip(weights, self.offsets, strict=True))
        return CausalScalarModel(module, self.tokenizer, offset, self.fast)._as(self)

    def _facts(self) -> dict[str, Any]:
        return Heads(self.names, self.offsets, self.shares).facts()
