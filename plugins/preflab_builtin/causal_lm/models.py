"""Policies and scalar models around transformers modules.

Each method is transformers' own forward pass, and before it the one hop to `fast`, which computes
the same for GPT-2 and Llama with less time and memory. Shapes: B batch, Q prompt tokens, T tokens,
D width, V vocabulary. Positions always come from the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from preflab.functional import entropy, token_log_probs
from preflab.interfaces import Cache
from preflab.sharding import (
    copied,
    current_division,
    dividing,
    inside,
    is_sharded,
    outline,
    rows_of,
    shard,
)
from preflab_builtin.causal_lm.adapters import has_adapters
from preflab_builtin.causal_lm.attention import PLAIN_CAUSAL
from preflab_builtin.causal_lm.backbone import CausalBackbone as CausalBackbone
from preflab_builtin.causal_lm.cache import KeyValueCache
from preflab_builtin.causal_lm.classifiers import classifier
from preflab_builtin.causal_lm.cost import count_head
from preflab_builtin.causal_lm.fast import SlotCache, extend, head_log_probs, is_plain_projection
from preflab_builtin.causal_lm.heads import Heads
from preflab_builtin.causal_lm.tokenizer import TextTokenizer
from preflab_builtin.causal_lm.versions import version, whole_weights


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
        config, pad_id, prefix = self.module.config, self.tokenizer.pad_id, self.base_name
        division = current_division()
        if division is None or not is_sharded(self.module):
            base = (self.copy() if is_sharded(self.module) else self).base
            return classifier(config, base, pad_id, heads, generator)
        # Each process copies its part of what is trained of the trunk, and has the part of weights
        # beside adapters in common with this model; of the new head it takes its part.
        base = getattr(outline(self.module), prefix)
        module = classifier(config, base, pad_id, heads, generator)
        module.score.to(division.device)
        rows, adapted = rows_of(self.module), has_adapters(self.module)

        def own(name: str, first: int, end: int) -> torch.Tensor:
            part = rows(name, first, end)
            trained = module.get_parameter(name).requires_grad
            return part.clone() if trained or not adapted else part

        shard(module, division, own)
        return module


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
        self.names, self.offsets = heads.names, heads.offsets
        self.shares, self.spreads = heads.shares, heads.spreads

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
        with dividing(None):  # the heads are mixed as a whole
            module: Any = copied(self.module)
        module.config.num_labels = 1
        heads = module.score.weight.detach().double()
        mix = torch.tensor(list(weights), dtype=torch.float64, device=heads.device)
        module.score = nn.Linear(heads.shape[1], 1, bias=False, device="meta")
        module.score.weight = nn.Parameter((mix @ heads).float()[None])
        offset = sum(w * o for w, o in zip(weights, self.offsets, strict=True))
        return CausalScalarModel(module, self.tokenizer, offset, self.fast)._as(self)

    def _facts(self) -> dict[str, Any]:
        return Heads(self.names, self.offsets, self.shares, self.spreads).facts()
