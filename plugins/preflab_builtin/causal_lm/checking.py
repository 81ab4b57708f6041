"""Whether a folder is a model that preflab reads, told before any work and without torch: each
refusal is a sentence that names the cure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab_builtin.causal_lm.weights import INDEX, WHOLE, blocks, check_whole, embedding, weights


class Use(StrEnum):
    """What a model folder is for: its value is how messages name the model that is wanted."""

    policy = "a causal language model"
    reward_model = "a reward model (a sequence classifier with one output)"
    heads = "a reward model with a head for each group"
    classifier = "a sequence classifier"


CONFIG, ADAPTER = "config.json", "adapter_config.json"
ADAPTER_FOLDER = "adapter"
"""In a folder that preflab wrote: the adapter that is merged into the model."""
FAST = "tokenizer.json"
TOKENIZERS = (FAST, "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
"""Files of which a tokenizer has one at least."""
_WITHOUT_FILES = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
"""They read bytes or characters, and have no file of words."""
_OUTPUTS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")
_PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_FOREIGN = ("*.h5", "*.msgpack", "*.onnx")
_HEADS = {
    "ForMaskedLM": "it fills in masked words and writes no text",
    "ForPreTraining": "it fills in masked words and writes no text",
    "ForConditionalGeneration": "it reads with an encoder and writes with a decoder",
    "ForSequenceClassification": "it scores texts and writes none",
    "ForTokenClassification": "it labels words and writes no text",
    "ForQuestionAnswering": "it marks answers and writes no text",
    "ForMultipleChoice": "it chooses answers and writes no text",
}
"""By the end of an architecture's name: why it is no causal language model."""
_CLASSIFIERS = (
    "reward_model=pretrained reward_model.path=FOLDER takes one with one output, the component "
    "classifier any"
)


def check_folder(folder: Path, use: Use = Use.policy, whole: bool = True) -> None:
    """`UserError` for a folder that does not hold what it is used for. whole: with its weights;
    else it may also have none (`without_weights`)."""
    _check_adapter(folder)
    if not (folder / CONFIG).is_file():
        raise UserError(_without_config(folder))
    _check_files(folder)
    config = check_model_config(folder)
    _check_kind(folder, config, use)
    _check_quantisation(folder, config)
    if whole or not without_weights(folder):
        check_weights(folder)
        _check_embedding(folder, config)
    if use is not Use.classifier:  # encoders count their blocks in many ways
        _check_blocks(folder, config)
    if use is Use.reward_model:
        _check_outputs(folder)
    _check_tokenizer(folder, use)


def _check_tokenizer(folder: Path, use: Use) -> None:
    files = sorted(file.name for pattern in TOKENIZERS for file in folder.glob(pattern))
    if use is not Use.classifier and files and FAST not in files:
        raise UserError(
            f"{folder} has the slow form of its tokenizer alone ({files[0]}). Write {FAST} with "
            f"transformers: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained("
            f"{str(folder)!r}); a *.model needs pip install sentencepiece."
        )
    if files:
        return
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and read_json(settings).get("tokenizer_class") in _WITHOUT_FILES:
        return
    raise UserError(
        f"{folder} holds no tokenizer (tokenizer.json): copy it from the base model, or save it "
        f"there: AutoTokenizer.from_pretrained(BASE).save_pretrained({str(folder)!r})."
    )


def _check_adapter(folder: Path) -> None:
    """An adapter is not the model. Next to a config.json it would be ignored or, where peft is
    installed, read in place of the weights."""
    file = folder / ADAPTER
    if not file.is_file():
        return
    facts = read_json(file)
    kind, base = facts.get("peft_type", "LoRA"), facts.get("base_model_name_or_path")
    kind = "LoRA" if kind == "LORA" else kind
    of_base = f" of {base}" if base else ""
    if (folder / CONFIG).is_file() and any(folder.glob("model*.safetensors")):
        raise UserError(
            f"{folder} is a model and also a {kind} adapter{of_base} ({ADAPTER}). If the adapter "
            f"is merged into the model, remove {ADAPTER} and adapter_model.*; if not, merge it "
            "(merge_and_unload) and save the result elsewhere."
        )
    if folder.name == ADAPTER_FOLDER and (folder.parent / CONFIG).is_file():
        raise UserError(
            f"{folder} is a {kind} adapter{of_base}, not a whole model. The folder above it holds "
            f"the model with the adapter in it: {folder.parent}"
        )
    raise UserError(
        f"{folder} is a {kind} adapter{of_base}, not a whole model: merge it (merge_and_unload) "
        "and save the result and its tokenizer with save_pretrained."
    )


def _without_config(folder: Path) -> str:
    if ggufs := sorted(folder.glob("*.gguf")):
        return f"{folder} has no {CONFIG}: {gguf_advice(ggufs[0])}"
    shown = f"{folder} has no {CONFIG}: it is not a transformers model folder."
    inner = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
    return f"{shown} {f'Model folders in it: {_list(inner)}.' if inner else neighbours(folder)}"


def neighbours(folder: Path) -> str:
    """A sentence that names model folders nearby."""
    models = sorted(str(config.parent) for config in folder.parent.glob(f"*/{CONFIG}"))
    if not models:
        return f"Give a folder with {CONFIG}, or a hub id such as org/name."
    return f"Model folders next to it: {_list(models)}."


def _list(names: list[str]) -> str:
    return ", ".join(names[:5])


def gguf_advice(file: Path) -> str:
    """What to do with a GGUF file."""
    return (
        f"{file.name} is a GGUF file, which preflab does not train. Give the folder that it was "
        "made from, or write one with transformers: AutoModelForCausalLM and AutoTokenizer"
        f".from_pretrained({str(file.parent)!r}, gguf_file={file.name!r}).save_pretrained(FOLDER)."
    )


def _check_files(folder: Path) -> None:
    for pattern in ("*.json", "*.safetensors", "*.model"):
        for file in sorted(folder.glob(pattern)):
            check_whole(file)


def check_model_config(folder: Path) -> dict[str, Any]:
    """The content of config.json; `UserError` if it names code: transformers would fetch an
    attention kernel from the hub and run it."""
    config = read_json(folder / CONFIG)
    for key, value in _code_names(config):
        file = folder / CONFIG
        raise UserError(f"{file}: {key} is {value!r}, which names code. Remove the key.")
    return config


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file of a model folder; `UserError` if there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file.parent}: {file.name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file.parent}: {file.name} cannot be read: it is not a JSON object")
    return content


def _code_names(node: Any) -> Iterator[tuple[str, Any]]:
    """Keys that choose an implementation, with a value that is not a plain word."""
    for key, value in node.items() if isinstance(node, dict) else ():
        chooses = "implementation" in key or "kernel" in key
        if chooses and isinstance(value, str) and not re.fullmatch(r"\w*", value):
            yield key, value
        else:
            yield from _code_names(value)


def _check_kind(folder: Path, config: Mapping[str, Any], use: Use) -> None:
    """By the name of the architecture. A folder without one is left to transformers."""
    names = [str(name) for name in config.get("architectures") or []]
    if use is Use.policy:
        if config.get("is_encoder_decoder"):
            why = _HEADS["ForConditionalGeneration"]
            raise UserError(f"{folder} holds {_kind(names)}, not {use.value}: {why}.")
        ends = [next((end for end in _HEADS if name.endswith(end)), "") for name in names]
        if ends and all(ends) and "text_config" not in config:
            more = f" {_CLASSIFIERS}." if ends[0] == "ForSequenceClassification" else ""
            raise UserError(f"{folder} holds {names[0]}, not {use.value}: {_HEADS[ends[0]]}.{more}")
        return
    if names and all(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        raise UserError(
            f"{folder} holds {names[0]}, a causal language model, not {use.value}: it has no head "
            "that scores. Train one from it (reward_model=kwise), or name the folder of one."
        )


def _kind(names: list[str]) -> str:
    return names[0] if names else "an encoder-decoder model"


def _check_quantisation(folder: Path, config: Mapping[str, Any]) -> None:
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise UserError(
            f"{folder} is quantised ({method or 'quantization_config in config.json'}), and "
            "preflab trains float32 weights. Give the model that it was made from, or write one "
            "with model.dequantize() and save_pretrained."
        )


def without_weights(folder: Path) -> str:
    """What a run says to a folder that holds no weights in any form; "" if there are some."""
    forms = ("*.safetensors", "*.index.json", "*.gguf", *_PICKLED, *_FOREIGN)
    some = any(True for form in forms for _ in folder.glob(form))
    return "" if some else f"{_without_weights(folder)} 'preflab plan' does without them."


def check_weights(folder: Path) -> None:
    """`UserError` unless there are whole safetensors files."""
    for index in sorted(folder.glob("*.index.json")):
        check_index(index)
    if not (folder / WHOLE).is_file() and not (folder / INDEX).is_file():
        raise UserError(_without_weights(folder))
    weights(folder)


def _without_weights(folder: Path) -> str:
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    foreign = sorted(file.name for pattern in _FOREIGN for file in folder.glob(pattern))
    if ggufs := sorted(folder.glob("*.gguf")):
        return f"{folder} has no {WHOLE}: {gguf_advice(ggufs[0])}"
    shown = f"{folder} has no *.safetensors"
    if pickled:
        return (
            f"{shown}, but {pickled[0]}. Pickled weights are not read, because they can run code. "
            "If you trust them, convert them with save_pretrained: AutoModelForCausalLM"
            f".from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})."
        )
    if others:
        return (
            f"{folder} has {', '.join(others[:3])}, but neither {WHOLE} nor {INDEX}, which say "
            "what the model's weights are. Save the whole model with save_pretrained."
        )
    also = f", but {foreign[0]}" if foreign else ""
    return f"{shown}{also}: the weights are missing. Save the model with save_pretrained (PyTorch)."


def check_index(index: Path) -> None:
    """`UserError` for an index of shards that names a file outside its folder: no digest would
    cover that file."""
    try:
        shards = json.loads(index.read_text(encoding="utf8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is not an index of weights: {error}") from None
    for shard in shards:
        inside = isinstance(shard, str) and shard == Path(shard).name
        if not inside or not shard.endswith(".safetensors"):
            raise UserError(
                f"{index} names {shard!r}, which is not a *.safetensors file in the same folder."
            )


def _check_embedding(folder: Path, config: Mapping[str, Any]) -> None:
    """Config and weights are of one model: rows and width of the embedding."""
    table, size = embedding(weights(folder)), config.get("vocab_size")
    if table and isinstance(size, int) and table[1].shape[0] != size:
        name, weight = table
        raise UserError(
            f"{folder}: config.json says vocab_size={size}, but {name} has {weight.shape[0]} rows: "
            f"config and weights are of different models. Set vocab_size={weight.shape[0]} if the "
            "embedding was resized, or copy the right config.json."
        )
    width = config.get("hidden_size", config.get("n_embd"))
    other = {"word_embed_proj_dim", "embedding_size", "text_config"} & config.keys()
    if table and isinstance(width, int) and not other and table[1].shape[1] != width:
        raise UserError(
            f"{folder}: config.json says a width of {width}, but {table[0]} is "
            f"{table[1].shape[1]} wide: config and weights are of different models. Copy the right "
            "config.json."
        )


def _check_blocks(folder: Path, config: Mapping[str, Any]) -> None:
    """Config and weights are of one model: transformers would leave out blocks that the config does
    not count."""
    keys = [k for k in ("num_hidden_layers", "n_layer", "num_layers") if k in config]
    have = blocks(weights(folder))
    more = ("num_nextn_predict_layers", "text_config", "is_encoder_decoder")
    extra = any(config.get(key) for key in more)
    if keys and have and not extra and have != config[keys[0]]:
        raise UserError(
            f"{folder}: config.json says {keys[0]}={config[keys[0]]}, but the weights are of "
            f"{have} blocks: config and weights are of different models. Copy the right "
            "config.json."
        )


def _check_outputs(folder: Path) -> None:
    """A reward model gives one number."""
    found = weights(folder)
    name = next((name for name in _OUTPUTS if name in found), "")
    if name and found[name].shape[0] != 1:
        raise UserError(
            f"{folder} has {found[name].shape[0]} outputs, not {Use.reward_model.value}. Choose "
            f"one of them by its label: reward_model=classifier reward_model.path={folder} "
            "reward_model.label=NAME. If they are heads of groups of people "
            "(reward_model=kwise_groups): reward_model=pretrained_groups "
            f"reward_model.path={folder}."
        )
