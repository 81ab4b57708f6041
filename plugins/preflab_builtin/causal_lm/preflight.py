"""What is known of a model before the first stage, and what is said of it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab.errors import EXAMPLES
from preflab.interfaces import Context
from preflab.lengths import answers
from preflab.records import RECORD_TYPES, SPLITS, Document, Prompt, RecordType
from preflab.runtime import Device
from preflab_builtin.causal_lm.checking import CONFIG, read_json
from preflab_builtin.causal_lm.config import (
    LoraConfig,
    PretrainedConfig,
    SmolLM2Config,
    TinyConfig,
    TokenizerKind,
)
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.smollm2 import converted
from preflab_builtin.causal_lm.tokenizer import TextTokenizer
from preflab_builtin.causal_lm.weights import check_finite, embedding, weights

_ASKING: tuple[RecordType, ...] = ("prompts", "demonstrations", "rankings")
_LOOKED_AT = 1000
"""Rows of a record type and split that are looked at."""
GENERATION = "generation_config.json"


def tiny(config: TinyConfig, context: Context) -> Iterator[str]:
    """What its tokenizer does, where it reads text of any kind; else which words it does not know.
    `UserError` if it does not know most words of some records."""
    if config.lora.rank is not None:
        from preflab_builtin.causal_lm.reading import tiny_config

        assert isinstance(context.tokenizer, TextTokenizer)
        _check_lora(config.lora, tiny_config(config, context.tokenizer), context)
        yield (
            "policy.lora: the first stage that trains this model trains all its weights, because "
            "there is nothing yet to adapt; the stages after it train adapters."
        )
    if config.tokenizer is TokenizerKind.bytes:
        yield from _facts(context)
    elif isinstance(context.tokenizer, TextTokenizer):
        yield from _unknown_words(context.tokenizer, context)


def policy(config: PretrainedConfig, context: Context) -> Iterator[str]:
    """`UserError` for weights or a tokenizer with which no training can go well; what the tokenizer
    does."""
    folder = locate(config.path, config.revision, whole=False)
    yield from _of_folder(folder, config.lora, context)


def smollm2(config: SmolLM2Config, context: Context) -> Iterator[str]:
    """The same, of the converted model."""
    yield from _of_folder(converted(config), config.lora, context)


def _of_folder(folder: Path, lora: LoraConfig, context: Context) -> Iterator[str]:
    check_architecture(folder)
    if lora.rank is not None:
        from preflab_builtin.causal_lm.reading import model_config

        _check_lora(lora, model_config(folder), context)
    check_finite(folder)
    tokenizer = context.tokenizer
    assert isinstance(tokenizer, TextTokenizer)
    used = {*tokenizer.begin, *tokenizer.end_ids, tokenizer.pad_id}
    yield from check_tokens(folder, tokenizer.wrapper, used)
    yield from _facts(context)
    file = folder / GENERATION
    stops = read_json(file).get("stop_strings") if file.is_file() else None
    if stops:
        yield (
            f"{folder}: stop_strings in {GENERATION} ({', '.join(map(repr, stops))}) do not end "
            "responses here; tokens do."
        )
    if tokenizer.chat.own:
        yield from _texts(context)


def _check_lora(lora: LoraConfig, config: Any, context: Context) -> None:
    """`UserError` for adapters that cannot be made. config: of the model, which is made without
    weights."""
    if importlib.util.find_spec("peft") is None:
        raise UserError(
            f"policy.lora.rank={lora.rank} needs the package peft, which is not installed here: "
            "pip install 'preflab[lora]'"
        )
    if lora.bits is not None:
        from preflab_builtin.causal_lm import quantised

        runtime = context.runtime
        # A GPU that is named may be on another machine, for which this one plans.
        device = "cuda" if runtime.config.device is Device.cuda else runtime.device.type
        quantised.check(config.model_type, device, runtime.config.divides)
    import torch
    from transformers import AutoModelForCausalLM

    from preflab_builtin.causal_lm.adapters import target_names

    make: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        module = make(config, trust_remote_code=False)
    target_names(getattr(module, module.base_model_prefix), lora.names())


def _unknown_words(tokenizer: TextTokenizer, context: Context) -> Iterator[str]:
    """Words of texts that are not of the closed vocabulary: to the policy they are all the same,
    whether it reads them or learns to write them."""
    unknown = tokenizer.wrapper.unk_token_id
    for record_type in RECORD_TYPES:
        for part, texts in _parts(_rows(record_type, context)).items():
            ids = [i for text in dict.fromkeys(texts) for i in tokenizer.encode(text)]
            count = ids.count(unknown)
            if not count:
                continue
            what = (
                f"{record_type}: {count} of {len(ids)} words ({count / len(ids):.0%}) of the "
                f"{part} that were looked at are not in the vocabulary of policy=tiny, which is "
                "that of the data's closed world: they are all one unknown word to it. "
                "policy.tokenizer=bytes reads any text (with pretrain=none, or documents of your "
                "own)."
            )
            if count > len(ids) / 2:
                raise UserError(what)
            yield what


def _parts(rows: Iterable[Any]) -> Mapping[str, list[str]]:
    """The texts of records by what they are in them."""
    parts: dict[str, list[str]] = {"prompts": [], "responses": [], "documents": []}
    for row in rows:
        if isinstance(row, Document):
            parts["documents"].append(row.text)
            continue
        parts["prompts"].append((row if isinstance(row, Prompt) else row.prompt).text)
        parts["responses"] += () if isinstance(row, Prompt) else answers(row)
    return parts


def _prompts(record_type: RecordType, context: Context) -> list[Prompt]:
    """The prompts of the first rows of each split."""
    rows = _rows(record_type, context)
    return [row if isinstance(row, Prompt) else row.prompt for row in rows]


def _rows(record_type: RecordType, context: Context) -> list[Any]:
    """The first rows of each split."""
    rows: list[Any] = []
    with contextlib.suppress(UserError):  # a split without rows
        for split in SPLITS if context.has(record_type) else ():
            rows += islice(context.records(record_type, split), _LOOKED_AT)
    return rows


def _texts(context: Context) -> Iterator[str]:
    """A sentence where rows are texts, though the model has a chat template."""
    for record_type in _ASKING:
        prompts = _prompts(record_type, context)
        texts = sum(not (prompt.messages or prompt.rendered) for prompt in prompts)
        if texts:
            yield (
                f"{texts} of {len(prompts)} {record_type} are texts: the model reads them without "
                "its chat template. Rows with messages are conversations, and "
                "data.template=chat makes texts what a user says."
            )


def check_architecture(folder: Path) -> None:
    """`UserError` for an architecture that transformers does not know, or for weights of other
    shapes than the config says. The model is made without weights."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto import configuration_auto

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
    stored = weights(folder)
    head = module.get_output_embeddings()
    name = next((n for n, part in module.named_modules() if part is head), "")
    if stored and name and f"{name}.weight" not in stored and not config.tie_word_embeddings:
        raise UserError(
            f"{folder} lacks the weights of the head ({name}.weight), and config.json says that "
            "they are not those of the embedding (tie_word_embeddings is false): set it to true if "
            "they are, else copy the whole model again."
        )
    for name, weight in stored.items():
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
            f"{folder}: eos_token_id in {GENERATION} is {foreign[0]}, which is no token "
            "of the tokenizer. Correct it, or remove the key."
        )
    tokens = {i: name for name, i in names.items() if i >= rows}
    if not tokens:
        return
    shown = ", ".join(f"{tokens[i]!r} ({i})" for i in sorted(tokens)[:EXAMPLES])
    more = f" and {len(tokens) - EXAMPLES} more" if len(tokens) > EXAMPLES else ""
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
