"""What is known of a model before the first stage, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto import configuration_auto

from preflab import UserError
from preflab.interfaces import Context
from preflab_builtin.causal_lm.checking import CONFIG, read_json
from preflab_builtin.causal_lm.config import (
    PretrainedConfig,
    SmolLM2Config,
    TinyConfig,
    TokenizerKind,
)
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.smollm2 import converted
from preflab_builtin.causal_lm.tokenizer import TextTokenizer
from preflab_builtin.causal_lm.weights import check_finite, embedding, weights

_SHOWN = 3


def tiny(config: TinyConfig, context: Context) -> Iterator[str]:
    """What its tokenizer does, where it reads text of any kind."""
    if config.tokenizer is TokenizerKind.bytes:
        yield from _facts(context)


def policy(config: PretrainedConfig, context: Context) -> Iterator[str]:
    """`UserError` for weights or a tokenizer with which no training can go well; what the tokenizer
    does."""
    yield from _of_folder(locate(config.path, config.revision), context)


def smollm2(config: SmolLM2Config, context: Context) -> Iterator[str]:
    """The same, of the converted model."""
    yield from _of_folder(converted(config), context)


def _of_folder(folder: Path, context: Context) -> Iterator[str]:
    check_architecture(folder)
    check_finite(folder)
    tokenizer = context.tokenizer
    assert isinstance(tokenizer, TextTokenizer)
    used = {*tokenizer.begin, *tokenizer.end_ids, tokenizer.pad_id}
    yield from check_tokens(folder, tokenizer.wrapper, used)
    yield from _facts(context)


def check_architecture(folder: Path) -> None:
    """`UserError` for an architecture that transformers does not know, or for weights of other
    shapes than the config says. The model is made without weights."""
    facts = read_json(folder / CONFIG)
    kind = facts.get("model_type")
    known: Mapping[str, str] = vars(configuration_auto)["CONFIG_MAPPING_NAMES"]
    if kind not in known:
        brings = (
            ", and preflab does not run the code that the folder brings (auto_map)"
            if facts.get("auto_map")
            else ""
        )
        raise UserError(
            f"{folder}: model_type in {CONFIG} is {kind!r}, which transformers "
            f"{transformers.__version__} does not know{brings}. Install a transformers that knows "
            "it, or use a model of another architecture."
        )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        make: Any = AutoModelForCausalLM.from_config
        with torch.device("meta"):
            module = make(config, trust_remote_code=False)
    except Exception as error:  # transformers raises a dozen unrelated classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder}: no causal language model can be made: {reason}") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, weight in weights(folder).items():
        if shapes.get(name, weight.shape) != weight.shape:
            raise UserError(
                f"{folder}: by config.json {name} is {list(shapes[name])}, but the weights have "
                f"{list(weight.shape)}: config and weights are of different models. Copy the right "
                "config.json."
            )


def _facts(context: Context) -> Iterator[str]:
    if isinstance(context.tokenizer, TextTokenizer):
        yield context.tokenizer.facts()


def check_tokens(folder: Path, wrapper: Any, used: Iterable[int] = ()) -> Iterator[str]:
    """`UserError` if the tokenizer has tokens beyond the rows of the embedding; a sentence instead,
    if no text leads to them. used: ids that are put into rows without being read from a text."""
    table = embedding(weights(folder))
    if table is None:
        return
    rows = table[1].shape[0]
    used = set(used)
    names = wrapper.get_vocab()
    foreign = sorted(used - set(names.values()))
    if foreign:
        raise UserError(
            f"{folder}: eos_token_id in generation_config.json is {foreign[0]}, which is no token "
            "of the tokenizer. Correct it, or remove the key."
        )
    tokens = {i: name for name, i in names.items() if i >= rows}
    if not tokens:
        return
    shown = ", ".join(f"{tokens[i]!r} ({i})" for i in sorted(tokens)[:_SHOWN])
    more = f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else ""
    are = "is" if len(tokens) == 1 else "are"
    said = (
        f"{folder}: the tokenizer has ids up to {max(tokens)}, but the embedding has {rows} rows: "
        f"{shown}{more} {are} beyond it."
    )
    if not tokens.keys() & used and all(_never_read(wrapper, i, n) for i, n in tokens.items()):
        yield f"{said} No text leads to a special token that the chat template does not write."
        return
    raise UserError(
        f"{said} Resize the model and save it (model.resize_token_embeddings(len(tokenizer))), or "
        "remove what was added to the tokenizer."
    )


def _never_read(wrapper: Any, i: int, name: str) -> bool:
    """Whether a token is neither read from texts, nor from what a chat template writes, nor put
    around texts."""
    added: Mapping[int, Any] = wrapper.added_tokens_decoder
    special = i in added and added[i].special
    roles = ("bos", "eos", "pad", "unk", "sep", "cls", "mask")
    named = any(getattr(wrapper, f"{role}_token_id") == i for role in roles)
    return special and not named and name not in str(wrapper.chat_template or "")
