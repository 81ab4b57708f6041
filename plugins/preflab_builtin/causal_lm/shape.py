"""Sizes of a model before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preflab.components import Inspection
from preflab.memory import ModelShape
from preflab_builtin.causal_lm.checking import CONFIG, read_json
from preflab_builtin.causal_lm.config import Family, LoraConfig, TinyConfig, TokenizerKind

BYTES, WORDS = 258, 512
"""Tokens of a model made from scratch: bytes with pad and end, and about so many words, which only
the data knows."""


def inspect_tiny(config: TinyConfig) -> Inspection:
    """Its sizes: nothing is outside the config. The first stage that trains it trains all of it
    (`preflab.planning.sizing.shape_in`)."""
    gpt2 = config.family is Family.gpt2
    shape = ModelShape(
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        key_heads=config.heads,
        mlp=4 * config.width if gpt2 else -(-config.width // 3) * 8,
        vocabulary=BYTES if config.tokenizer is TokenizerKind.bytes else WORDS,
        positions=config.max_positions if gpt2 else 0,
        gated=not gpt2,
    )
    return Inspection(shape=_with_adapters(shape, config.lora))


def shape_of(folder: Path, lora: LoraConfig) -> ModelShape | None:
    """By the config.json of a model folder; None if it does not state sizes as GPT-2 or Llama and
    their many relatives do. lora: what is trained of it."""
    config = read_json(folder / CONFIG)
    # A model of pictures and text has the sizes of its language model inside.
    stated = _stated({**config, **(config.get("text_config") or {})})
    return None if stated is None else _with_adapters(stated, lora)


def _with_adapters(shape: ModelShape, lora: LoraConfig) -> ModelShape:
    """What is trained of a model of this shape."""
    adapted = None if lora.rank is None else _adapted(shape, lora.names())
    return replace(shape, adapters=lora.rank or 0, adapted=adapted, bits=lora.bits or 32)


def _adapted(shape: ModelShape, targets: Sequence[str]) -> tuple[tuple[int, int], ...] | None:
    """Inputs and outputs of the matrices that get adapters; None, which is all of them, where a
    target is none of the names that GPT-2 and Llama have."""
    queries, keys, values, output, *mlp = shape.projections
    if shape.gated:
        first, last = (
            ("q_proj", "k_proj", "v_proj", "o_proj"),
            ("gate_proj", "up_proj", "down_proj"),
        )
        names: tuple[str, ...] = (*first, *last)
        sizes = (queries, keys, values, output, *mlp)
    else:
        names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        sizes = ((shape.width, 3 * shape.width), output, *mlp)
    of = dict(zip(names, sizes, strict=True))
    attention = names[: len(names) - len(mlp)]
    groups = {"attention": attention, "mlp": names[len(attention) :], "all": names}
    chosen = set[str]()
    for target in targets:
        end = target.removeprefix("self_attn.").removeprefix("mlp.") if shape.gated else target
        found = groups.get(target) or [name for name in names if f".{name}".endswith(f".{end}")]
        if not found:
            return None
        chosen |= {*found}
    return tuple(of[name] for name in names if name in chosen)


def _stated(config: Mapping[str, Any]) -> ModelShape | None:
    try:
        if "n_embd" in config:
            width = int(config["n_embd"])
            return ModelShape(
                layers=int(config["n_layer"]),
                width=width,
                heads=int(config["n_head"]),
                key_heads=int(config["n_head"]),
                mlp=int(config.get("n_inner") or 4 * width),
                vocabulary=int(config["vocab_size"]),
                positions=int(config.get("n_positions") or 0),
                gated=False,
            )
        heads = int(config["num_attention_heads"])
        return ModelShape(
            layers=int(config["num_hidden_layers"]),
            width=int(config["hidden_size"]),
            heads=heads,
            key_heads=int(config.get("num_key_value_heads") or heads),
            mlp=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            head_width=int(config.get("head_dim") or 0),
        )
    except (KeyError, TypeError, ValueError):
        return None
