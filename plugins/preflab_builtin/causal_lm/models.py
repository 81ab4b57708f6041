"""Policies and scalar models around transformers modules.

Shapes: B batch, Q prompt tokens, T tokens, D width, V vocabulary. Positions always come from the mask.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, DynamicCache

from preflab.cost import WORK
from preflab.errors import UserError
from preflab.functional import entropy, token_log_probs
from preflab.interfaces import Cache
from preflab_builtin.causal_lm.attention import causal_mask, positions_of, starts_at_left
from preflab_builtin.causal_lm.blocks import Blocks, Hooks, blocks_of, hooks_at, states
from preflab_builtin.causal_lm.cache import SlotCache, StaticStep, extended, prefilled
from preflab_builtin.causal_lm.kernels import HeadLogProbs, applied
from preflab_builtin.causal_lm.packing import Rows, SharedRows, shared
from preflab_builtin.causal_lm.products import Product, for_decoding, stored
from preflab_builtin.causal_lm.saving import save_model
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

PLAIN_CAUSAL = frozenset({"llama", "gpt2"})
"""Model types whose attention is plainly causal in every layer: they get our own masks, which are cheaper. Others (sliding
windows and the like) get the mask of real tokens and make their own."""


FAST_PATHS = True
"""False: no model reads with blocks.py or unembeds with kernels.py, whatever it is told (``make conformance`` runs both ways)."""


@contextmanager
def borrowed_randomness(generator: torch.Generator) -> Iterator[None]:
    """Let code that draws from torch's global stream draw from a seed of ours instead, and leave the global one alone."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def matrix_size(base: nn.Module) -> int:
    """Numbers in the matrices that every token is multiplied with: all but embeddings, norms and biases."""
    tables = {id(part.weight) for part in base.modules() if isinstance(part, nn.Embedding)}
    return sum(p.numel() for p in base.parameters() if p.dim() == 2 and id(p) not in tables)


class KeyValueCache:
    """transformers' keys and values of the tokens read so far (`preflab.interfaces.Cache`).

    mask [B, S]: real tokens among the slots read. positions [B, 1]: of the next token. padded: some slot is a pad.
    """

    def __init__(
        self, past: DynamicCache, mask: torch.Tensor, positions: torch.Tensor, padded: bool
    ) -> None:
        self.past, self.mask, self.positions, self.padded = past, mask, positions, padded

    def select(self, rows: torch.Tensor) -> KeyValueCache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order; this one is untouched."""
        past: Any = copy.copy(self.past)
        past.layers = [copy.copy(layer) for layer in self.past.layers]
        for layer in past.layers:
            layer.keys, layer.values = (
                layer.keys.index_select(0, rows),
                layer.values.index_select(0, rows),
            )
        return KeyValueCache(
            past, self.mask.index_select(0, rows), self.positions.index_select(0, rows), self.padded
        )


class TransformerTrunk:
    """What policies and scalar models share: reading tokens and saving.

    module: a transformers model with float32 weights and no dropout. fast: read GPT-2 and Llama with blocks.py (no time
    on pads, shared prompts once) instead of the module's own forward pass; the same numbers up to rounding. The
    embedding's padding_idx is taken away, so that the pad id is an ordinary token for gradients.
    """

    kind = ""

    def __init__(self, module: Any, tokenizer: TextTokenizer, fast: bool = True) -> None:
        self.module: Any = module.eval()
        self.tokenizer = tokenizer
        self.fast = fast and FAST_PATHS
        self.base: nn.Module = getattr(module, module.base_model_prefix)
        self.matrices, self.numbers = (
            matrix_size(self.base),
            sum(p.numel() for p in self.base.parameters()),
        )
        config = module.config.get_text_config()  # a model of pictures and text has one inside
        self.layers, self.width = config.num_hidden_layers, config.hidden_size
        self.plain = module.config.model_type in PLAIN_CAUSAL
        embedding = module.get_input_embeddings()
        if isinstance(embedding, nn.Embedding):
            embedding.padding_idx = None

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most; None: the model's config names no limit."""
        limit: int | None = getattr(self.module.config, "max_position_embeddings", None)
        return limit

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ids [B, T], mask [B, T] bool -> last hidden states [B, T, D]; what stands on pads is meaningless."""
        self._check_length(mask)
        blocks = self._blocks()
        if blocks is None:
            self._count(int(mask.sum()), int((positions_of(mask)[mask] + 1).sum()))
            output: torch.Tensor = self.base(
                use_cache=False, **self._inputs(ids, mask)
            ).last_hidden_state
            return output
        batch = Rows.of(ids, mask, mask)
        self._count_batch(batch)
        found = states(blocks, batch)
        return found.new_zeros(*mask.shape, found.shape[1]).masked_scatter(mask[..., None], found)

    def hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prefix: int = 0
    ) -> torch.Tensor:
        """The last hidden states [W, D] of the wanted tokens alone, row by row. ids [B, T]; mask, wanted [B, T] bool; rows that
        are equal in the first ``prefix`` columns share them."""
        self._check_length(mask)
        if bool((wanted & ~mask).any()):
            raise ValueError("a state is wanted where no token stands: is a prompt empty?")
        blocks = self._blocks()
        if (
            blocks is None or hooks_at(self.base) is Hooks.tokens
        ):  # hooks know whole rows: none is shared or left out
            return self.hidden(ids, mask)[wanted]
        batch = shared(ids, mask, wanted, prefix) or Rows.of(ids, mask, wanted)
        self._count_batch(batch)
        return states(blocks, batch)

    def _count(self, tokens: int, pairs: int, left_out: int = 0, pairs_left_out: int = 0) -> None:
        """Count a pass: tokens, pairs of a token and one that it sees, and what of both the last layer left out. Training counts
        twice again, for the share of the numbers that are trained."""
        trained = 0.0
        if torch.is_grad_enabled():
            trained = (
                sum(p.numel() for p in self.base.parameters() if p.requires_grad) / self.numbers
            )
        linear = 2 * self.matrices * (tokens - left_out / self.layers)
        attention = 4 * self.width * (self.layers * pairs - pairs_left_out)
        WORK.add(tokens, (linear + attention) * (1 + 2 * trained))

    def _count_batch(self, batch: Rows | SharedRows) -> None:
        seen = batch.positions + 1
        pairs = int(seen.sum())
        if batch.wanted_grid is None:
            self._count(len(batch.ids), pairs)
        else:
            left_out = len(batch.ids) - len(batch.wanted)
            self._count(len(batch.ids), pairs, left_out, pairs - int(seen[batch.wanted].sum()))

    def _blocks(self) -> Blocks | None:
        """Our forward pass of this module, if there is one that serves whoever listens at the module's parts."""
        return (
            blocks_of(self.module)
            if self.fast and hooks_at(self.base) is not Hooks.others
            else None
        )

    def save(self, folder: Path) -> None:
        """Write an ordinary transformers folder; an existing one is replaced as a whole."""
        save_model(self.module, self.tokenizer, folder, self.kind, self._facts())

    def copy(self) -> Self:
        """An independent copy."""
        twin = copy.copy(self)
        twin.module = copy.deepcopy(self.module)
        twin.base = getattr(twin.module, twin.module.base_model_prefix)
        return twin

    def _facts(self) -> dict[str, Any]:
        return {}

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        if not self.plain:
            return {
                "input_ids": ids,
                "attention_mask": mask.long(),
                "position_ids": positions_of(mask),
            }
        if starts_at_left(mask):
            # Right pads come after all real tokens: causality hides them, and the fast kernel needs no mask.
            return {
                "input_ids": ids,
                "position_ids": torch.arange(ids.shape[1], device=ids.device)[None, :],
            }
        return {
            "input_ids": ids,
            "attention_mask": causal_mask(mask),
            "position_ids": positions_of(mask),
        }

    def _check_length(self, mask: torch.Tensor) -> None:
        limit = self.max_positions
        if limit is not None and mask.shape[1] > limit:
            raise UserError(
                f"A batch is {mask.shape[1]} tokens wide, but the policy has {limit} positions. Shorten prompts or "
                "responses, or raise policy.max_positions (a model made from scratch)."
            )


class CausalPolicy(TransformerTrunk):
    """A causal language model (`preflab.interfaces.Policy`)."""

    kind = "policy"

    def __init__(
        self, module: Any, tokenizer: TextTokenizer, fast: bool = True, graphs: bool = False
    ) -> None:
        """graphs: decode with a step that a GPU records once and repeats (`StaticStep`); it pays where Python is slower."""
        super().__init__(module, tokenizer, fast)
        self.graphs = graphs

    def logits(self, hidden: torch.Tensor, product: Product = stored) -> torch.Tensor:
        """hidden [..., D] -> float32 logits [..., V], in float32 also under autocast: in bfloat16 a step of a logit near
        16 is 0.06 to 0.125, which log-probabilities and ratios cannot bear."""
        with torch.autocast(hidden.device.type, enabled=False):
            return product(self.module.get_output_embeddings(), hidden.float())

    def log_probs(
        self,
        hidden: torch.Tensor,
        ids: torch.Tensor,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden [N, D] and the token that follows each, ids [N] -> its log-probability under softmax(logits / temperature), and
        the entropies (zeros if not asked; no gradient), [N] float32. Logits are made a piece at a time."""
        head = self.module.get_output_embeddings()
        WORK.add(0, 2 * len(ids) * head.weight.numel() * (3 if hidden.requires_grad else 1))
        if self.fast:
            with torch.autocast(hidden.device.type, enabled=False):
                found: tuple[torch.Tensor, torch.Tensor] = applied(
                    HeadLogProbs,
                    hidden.float(),
                    head.weight,
                    head.bias,
                    ids,
                    temperature,
                    with_entropy,
                )
            return found
        logits = self.logits(hidden)
        log_probs = token_log_probs(logits, ids, temperature)
        return log_probs, entropy(
            logits.detach(), temperature
        ) if with_entropy else torch.zeros_like(log_probs)

    def prefill(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, KeyValueCache | SlotCache]:
        """Read left-padded prompts [B, Q] -> next-token logits [B, V] and the cache."""
        self._check_length(mask)
        blocks = self._blocks()
        self._count(int(mask.sum()), int((positions_of(mask)[mask] + 1).sum()))
        if blocks is not None:
            hidden, slots = prefilled(blocks, ids, mask)
            blocks.product = for_decoding(
                ids.device
            )  # of the steps to come: the cache holds the blocks
            return self.logits(hidden), slots
        past = DynamicCache(config=self.module.config)
        output = self.base(use_cache=True, past_key_values=past, **self._inputs(ids, mask))
        cache = KeyValueCache(past, mask, mask.sum(-1, keepdim=True), not bool(mask.all()))
        return self.logits(output.last_hidden_state[:, -1]), cache

    def extend(
        self, tokens: torch.Tensor, cache: Cache
    ) -> tuple[torch.Tensor, KeyValueCache | SlotCache]:
        """Read one more token a row [B] -> next-token logits [B, V] and the cache (``cache`` itself is used up)."""
        assert isinstance(cache, (SlotCache, KeyValueCache)), (
            "the cache must be one that this policy's prefill gave"
        )
        seen = cache.tokens if isinstance(cache, SlotCache) else int(cache.positions.sum())
        self._count(len(tokens), seen + len(tokens))
        head = self.module.get_output_embeddings()
        WORK.add(0, 2 * len(tokens) * head.weight.numel())
        if isinstance(cache, SlotCache):
            if self.graphs:
                cache.make_room()
                if cache.step is None or cache.step.taken != cache.keys[0].shape[2]:
                    cache.step = StaticStep(
                        partial(self.logits, product=cache.blocks.product),
                        cache,
                        record=tokens.is_cuda,
                    )
                return cache.step(tokens, cache), cache
            return self.logits(extended(tokens, cache), cache.blocks.product), cache
        mask = torch.cat([cache.mask, cache.mask.new_ones(len(tokens), 1)], dim=1)
        attention = None
        if cache.padded:
            attention = mask[:, None, None, :] if self.plain else mask.long()
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
        """A copy whose unembedding is replaced by a scalar head drawn from N(0, 1/(D+1)), no bias (Ziegler et al. 2019)."""
        config = copy.deepcopy(self.module.config)
        config.num_labels = 1
        config.pad_token_id = self.tokenizer.pad_id
        with torch.device("meta"):
            module: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        setattr(module, module.base_model_prefix, copy.deepcopy(self.base))
        width = module.score.in_features
        head = nn.Linear(width, 1, bias=False, device="meta", dtype=torch.float32).to_empty(
            device="cpu"
        )  # draws nothing
        with torch.no_grad():
            head.weight.normal_(0.0, (width + 1) ** -0.5, generator=generator)
        device = next(self.base.parameters()).device
        module.score = head.to(device)
        leftover = [name for name, p in module.named_parameters() if p.is_meta]
        if leftover:
            raise UserError(
                f"{type(module).__name__} has parameters besides trunk and head ({leftover[0]}): not supported."
            )
        module.requires_grad_(True)
        return CausalScalarModel(module, self.tokenizer, fast=self.fast)


class CausalScalarModel(TransformerTrunk):
    """A trunk with one number a position (`preflab.interfaces.ScalarModel`)."""

    kind = "scalar model"

    def __init__(
        self, module: Any, tokenizer: TextTokenizer, offset: float = 0.0, fast: bool = True
    ) -> None:
        super().__init__(module, tokenizer, fast)
        self.offset = offset

    def values(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> raw values [...] float32 (the offset is not subtracted)."""
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.module.score.weight).squeeze(-1)

    def _facts(self) -> dict[str, Any]:
        return {"offset": self.offset}
