"""What models are to the rest: policies, scalar models, and the source that they come
from.

Shapes: B batch, Q prompt tokens, R response tokens, T = Q + R, V vocabulary, D model width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, runtime_checkable

from preflab.records import Tokenizer as Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

Model = TypeVar("Model")


class Cache(Protocol):
    """Keys and values of the tokens read so far, of B rows."""

    def select(self, rows: torch.Tensor) -> Cache:
        """The cache of the chosen rows [B'] (repeats allowed), in that order."""


class Backbone(Protocol):
    """A model that reads tokens: what policies and scalar models share."""

    @property
    def module(self) -> torch.nn.Module:
        """The network; its parameters are what is trained."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to the tokens that it reads."""

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most, prompt and response together; None: no limit."""

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """ids [B, T], mask [B, T] bool -> last hidden states [B, T, D]; positions count the mask,
        not the slots."""

    def hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prompt_width: int = 0
    ) -> torch.Tensor:
        """The last hidden states [W, D] of the wanted real tokens only (wanted [B, T] bool), row
        by row: ``hidden(ids, mask)[wanted]`` up to rounding, and cheaper where a model can leave
        out the rest. prompt_width: the number of columns, from the left, that hold prompts; a
        model may read a prompt that several rows share once."""

    def save(self, folder: Path) -> None:
        """Write an ordinary transformers folder: weights (safetensors), config, tokenizer, model
        card."""


class Policy(Backbone, Protocol):
    """A causal language model."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> float32 logits [..., V]."""

    def log_probs(
        self,
        hidden: torch.Tensor,
        ids: torch.Tensor,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden [N, D] and the token that follows each, ids [N] -> its log-probability under
        softmax(logits / temperature), and the entropies in nats (no gradient; zeros if not asked
        for), [N] float32: `functional.token_log_probs` of the logits, which need not all be in
        memory."""

    def prefill(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Cache]:
        """Read left-padded prompts [B, Q] -> next-token logits [B, V] and the cache."""

    def extend(self, tokens: torch.Tensor, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Read one more token per row [B] -> next-token logits [B, V] and the cache."""

    @property
    def version(self) -> str:
        """A text that stands for the weights: equal weights have the same one, in every process
        and after a resume, and every optimizer step that moves a weight gives another. An engine
        that has a copy of the weights asks for it before it samples."""

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The whole network as (name, tensor), for an engine that has a copy: as a transformers
        model of its architecture names them, each name of a tied tensor too (an engine may hold
        them apart, and would keep the old one), adapters merged into what they adapt. The tensors
        are not to be changed."""

    def copy(self) -> Policy:
        """An independent copy."""

    def scalar_model(self, generator: torch.Generator) -> ScalarModel:
        """A copy whose unembedding is replaced by a scalar head, drawn from N(0, 1/(D+1)), no
        bias."""


class ScalarModel(Backbone, Protocol):
    """A trunk with one number a position: the network of a reward model or a value function."""

    offset: float
    """What a reward model subtracts from the raw score (demonstrations then score 0); stored
    next to the weights."""

    def values(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> [...] float32."""

    def copy(self) -> ScalarModel:
        """An independent copy."""


class HeadsModel(Backbone, Protocol):
    """A trunk with several numbers a position, each with a name: the network of a reward model that
    keeps groups of people apart."""

    names: tuple[str, ...]
    """Of the heads, in the order of their numbers."""
    offsets: tuple[float, ...]
    """What is subtracted from the raw score of each head; stored next to the weights."""
    shares: tuple[float, ...]
    """Share of each head in what the model was trained on; they add up to 1. Stored likewise."""
    spreads: tuple[float, ...]
    """Standard deviation of each head over the responses to one training prompt. Stored likewise;
    nan: not measured."""

    @property
    def weights(self) -> torch.Tensor:
        """The heads as one parameter [G, D]."""

    def values(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [..., D] -> [..., G] float32."""

    def weighted(self, weights: Sequence[float]) -> ScalarModel:
        """An independent copy with one head, the weighted sum of the heads, and the same sum of
        their offsets."""


@runtime_checkable
class HasHeads(Policy, Protocol):
    """A `Policy` of which models with several heads can be made."""

    def heads_model(self, generator: torch.Generator, names: Sequence[str]) -> HeadsModel:
        """`Policy.scalar_model` with a head a name; all heads begin as the same draw."""


@runtime_checkable
class Adaptable(Protocol):
    """A `Backbone` whose weights may stay as they are while adapters beside them are trained."""

    def adapted(self, generator: torch.Generator) -> Self | None:
        """The same model, to be trained: with new adapters, drawn from the generator, that change
        nothing yet, and with the frozen weights of this one. None: all weights are to be
        trained."""

    def without_adapters(self) -> Self | None:
        """What a model was when its adapters were new, on the same weights, which are frozen; None:
        it has no adapters."""


def to_be_trained(model: Model, generator: Callable[[], torch.Generator]) -> Model | None:
    """The model with new adapters, if it is `Adaptable` and to be trained by them; else None.
    generator: makes what they are drawn from."""
    return model.adapted(generator()) if isinstance(model, Adaptable) else None


class PolicySource(Protocol):
    """What a policy component builds: where the causal LM comes from and how its saved folders
    are read."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The policy's tokenizer, without loading weights."""

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row may have at most, without loading weights; None: no limit."""

    def create(self, generator: torch.Generator) -> Policy:
        """The policy that everything starts from: pretrained weights, or fresh ones drawn from
        the generator."""

    def load(self, folder: Path) -> Policy:
        """A policy that `Backbone.save` wrote."""

    def load_scalar(self, folder: Path) -> ScalarModel:
        """A scalar model that `Backbone.save` wrote."""


@runtime_checkable
class ChecksScalar(PolicySource, Protocol):
    """A `PolicySource` that knows, before it loads weights, whether its policies have scalar
    models. It is asked if a component needs one."""

    def check_scalar(self) -> None:
        """`UserError` if `Policy.scalar_model` is going to fail."""


@runtime_checkable
class Compiles(PolicySource, Protocol):
    """A `PolicySource` whose models serve `runtime.compile`; with any other one it is refused."""

    def check_compile(self) -> None:
        """`UserError` if nothing of these models would be compiled."""


@runtime_checkable
class LoadsHeads(PolicySource, Protocol):
    """A `PolicySource` that reads the folders of its policies' models with several heads."""

    def load_heads(self, folder: Path) -> HeadsModel:
        """A model with several heads that `Backbone.save` wrote."""
