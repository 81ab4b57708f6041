"""Model folders, written under a temporary name and then renamed: a folder with the final name is
complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from preflab.storage.artifacts import files_below
from preflab_builtin.causal_lm.checking import ADAPTER, ADAPTER_FOLDER, read_json
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

FACTS = "preflab.json"


def save_model(
    module: Any,
    tokenizer: TextTokenizer,
    folder: Path,
    kind: str,
    facts: dict[str, Any],
    adapter: Callable[[Path], None] | None = None,
    use: Sequence[str] | None = None,
) -> None:
    """Write weights (safetensors), config, tokenizer, model card and preflab.json (kind and
    ``facts``). adapter: writes the folder of the adapters that are merged into the weights. use:
    see `model_card`."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        module.save_pretrained(temporary)
        tokenizer.save(temporary)
        if kind != "policy":
            _state_padding(temporary, tokenizer)
        else:
            generation_config(module, tokenizer).save_pretrained(temporary)
        content = {"kind": kind, **facts}
        (temporary / FACTS).write_text(
            json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf8"
        )
        card = model_card(module, tokenizer, kind, facts, use)
        if adapter is not None:
            adapter(temporary / ADAPTER_FOLDER)
            base = read_json(temporary / ADAPTER_FOLDER / ADAPTER)["base_model_name_or_path"]
            card += _of_adapter(base, kind, facts)
        (temporary / "README.md").write_text(card, encoding="utf8")
        # safetensors makes weights readable by their owner alone.
        for file in files_below(temporary):
            shutil.copymode(temporary / FACTS, file)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def generation_config(module: Any, tokenizer: TextTokenizer) -> GenerationConfig:
    """How transformers samples from a saved policy: it ends where responses ended in training, and
    nothing changes the model's distribution but the folder's own temperature, top_k and top_p."""
    own = module.generation_config
    sampling = {name: getattr(own, name) for name in ("do_sample", "temperature", "top_k", "top_p")}
    ends = sorted(tokenizer.end_ids)
    make: Any = GenerationConfig
    config: GenerationConfig = make(
        bos_token_id=own.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_id,
        **{name: value for name, value in sampling.items() if value is not None},
    )
    return config


def _state_padding(folder: Path, tokenizer: TextTokenizer) -> None:
    """Let transformers pad batches as the score head expects: with the id in config.json, on the
    right."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf8"))
    settings["pad_token"] = tokenizer.wrapper.convert_ids_to_tokens(tokenizer.pad_id)
    settings["padding_side"] = "right"
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf8")


def replace_folder(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``. An older folder of that name is removed first: after a kill in
    between there is none."""
    if folder.exists():
        shutil.rmtree(folder)
    os.rename(new, folder)


def read_facts(folder: Path) -> dict[str, Any]:
    """What `save_model` wrote into preflab.json; {} for a folder that another program wrote."""
    file = folder / FACTS
    return dict(json.loads(file.read_text(encoding="utf8"))) if file.is_file() else {}


def model_card(
    module: Any,
    tokenizer: TextTokenizer,
    kind: str,
    facts: dict[str, Any],
    use: Sequence[str] | None = None,
) -> str:
    """A short README.md with the header that hubs read. use: lines on what the model gives, for a
    kind that is neither a policy nor a reward model."""
    millions = sum(p.numel() for p in module.parameters()) / 1e6
    scalar = kind != "policy"
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {'text-classification' if scalar else 'text-generation'}",
        "tags: [preflab, rlhf]",
        "---",
        f"# A {kind} trained with preflab",
        "",
        f"{type(module).__name__}, {millions:.2f} million parameters, float32.",
        "",
        f"    {_loaded('folder', kind, 1 if 'offset' in facts else None)}",
        "",
    ]
    if use is not None:
        lines += use
    elif heads := facts.get("heads"):
        named = ", ".join(f"{head['name']} {head['offset']:g}" for head in heads)
        lines += [
            "Gives a raw score for each group of people (`id2label`), of rows that end with the",
            "token that ends a response. The reward of a group is its score minus its offset in",
            f"{FACTS}, here {named}: rewards of two groups have no common scale, so",
            "never take the lowest of them.",
            "",
        ]
    elif scalar:
        lines += [
            "Gives the raw score of rows that end with the token that ends a response, in batches",
            f"too. The reward is this score minus the offset in {FACTS}, here",
            f"{facts['offset']:g}: demonstrations then score 0 on average. A text is scored as",
            f"`prompt + response + {tokenizer.wrapper.eos_token!r}`; a conversation as what",
            "`apply_chat_template` makes of it, without white space behind the last end token.",
            "",
        ]
    else:
        lines += [
            "`generate(do_sample=True)` samples from the 50 likeliest tokens only, unless it is",
            "given `top_k=0`; training never does.",
            "",
        ]
    lines += [tokenizer.facts(), ""]
    return "\n".join(lines)


def _loaded(folder: str, kind: str, labels: int | None) -> str:
    """How transformers reads a model. labels: heads, where its config does not say how many."""
    if kind == "policy":
        return f"AutoModelForCausalLM.from_pretrained({folder})"
    given = "" if labels is None else f", num_labels={labels}"
    return f"AutoModelForSequenceClassification.from_pretrained({folder}{given})"


def _of_adapter(base: str, kind: str, facts: dict[str, Any]) -> str:
    """What the card says of the folder of the adapter. base: as it names the model under it."""
    place, what = repr(base), "a model of the hub"
    if base.startswith("../"):
        place = f"f'{{ADAPTER}}/{base}'"
        what = "the model it was trained on, here and in what `preflab runs export` copies"
    elif base.startswith("./"):
        place, what = "BASE", f"the folder that was {base[2:]} where it was trained"
    loaded = _loaded(place, kind, len(facts.get("heads", "1")))
    return (
        "\nTrained as an adapter of low rank (LoRA), which is merged here. The folder\n"
        f"{ADAPTER_FOLDER}/ holds it alone, for peft. Under it lies {what}:\n\n"
        f"    PeftModel.from_pretrained({loaded}, ADAPTER)\n"
    )
