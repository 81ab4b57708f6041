"""Modules of transformers: made from scratch, or read from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
)
from transformers.utils.logging import disable_progress_bar

from preflab.errors import UserError
from preflab.launched import is_main
from preflab.sharding import current_division
from preflab_builtin.causal_lm import quantised
from preflab_builtin.causal_lm.checking import check_model_config
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.fast.supported import BLOCKS_OF_MODEL_TYPE, blocks_of
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.parts import divide, hollow, unlike
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

# A bar for every model folder that is read would hide the run's own.
disable_progress_bar()  # type: ignore[no-untyped-call]


def new_module(config: TinyConfig, tokenizer: TextTokenizer, generator: torch.Generator) -> Any:
    """A new causal LM, its weights drawn from the generator with the family's own initialiser."""
    make: Any = AutoModelForCausalLM.from_config
    with global_stream_from(generator):
        module = make(tiny_config(config, tokenizer), attn_implementation="sdpa")
    module.generation_config.update(do_sample=True, top_k=0, top_p=1.0)
    return module


def read_policy_module(folder: Path, **settings: Any) -> Any:
    """The causal LM of a folder."""
    return read_module(AutoModelForCausalLM, folder, **settings)


def read_scalar_module(folder: Path, heads: int = 1, **settings: Any) -> Any:
    """The classifier of a folder, with one output a head."""
    if heads == 1:  # of several, config.json has the number, with their names
        settings["num_labels"] = 1
    return read_module(AutoModelForSequenceClassification, folder, **settings)


def model_config(folder: Path) -> Any:
    """The config of a folder, as transformers reads it."""
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def check_scalar(folder: Path, pad_id: int) -> None:
    """`UserError` if transformers has no classifier of a folder's architecture whose head is one
    matrix. The model is made without weights."""
    config = model_config(folder)
    config.num_labels, config.pad_token_id = 1, pad_id
    make: Any = AutoModelForSequenceClassification.from_config
    try:
        with torch.device("meta"):
            module = make(config, trust_remote_code=False)
    except Exception as error:  # transformers raises a dozen unrelated classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(_NO_SCALAR.format(folder, reason[:160])) from error
    base = f"{module.base_model_prefix}."
    own = [name for name, _ in module.named_parameters() if not name.startswith(base)]
    if own != ["score.weight"]:
        named = f"{type(module).__name__} has {', '.join(own[:3])} besides its backbone"
        raise UserError(_NO_SCALAR.format(folder, named))


def check_compile(folder: Path) -> None:
    """`UserError` if no fast path computes a folder's model, so that nothing would be compiled. The
    model is made without weights."""
    make: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        module = make(model_config(folder), trust_remote_code=False).eval()
    if blocks_of(module) is None:
        raise UserError(
            f"{folder}: runtime.compile=true has nothing to compile: there is no fast path for a "
            f"{module.config.model_type} with this config.json, as there are for plain "
            f"{' and '.join(BLOCKS_OF_MODEL_TYPE)}. Leave runtime.compile out."
        )


_NO_SCALAR = (
    "{0}: no reward model and no value network can be made of this policy: {1}. Choose what needs "
    "neither: a reward that is given (a function, or reward_model=pretrained reward_model.path="
    "FOLDER) with an algorithm without a value network (rloo, grpo, best_of_n), or reward_model="
    "none algorithm=none."
)


@contextmanager
def global_stream_from(generator: torch.Generator) -> Iterator[None]:
    """Within it, code that draws from torch's global stream draws from a seed of the generator; the
    global stream itself is unchanged afterwards."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def tiny_config(config: TinyConfig, tokenizer: TextTokenizer) -> LlamaConfig | GPT2Config:
    """The transformers config of a model from scratch: tied embeddings, no dropout. A llama block
    has 4 D^2 (attention) plus 3 D * 8D/3 (SwiGLU) weights: 12 D^2 like a gpt2 block."""
    shared: dict[str, Any] = {
        "vocab_size": tokenizer.size,
        "pad_token_id": tokenizer.pad_id,
        "eos_token_id": tokenizer.eos_id,
        "bos_token_id": tokenizer.eos_id,
        "tie_word_embeddings": True,
    }
    if config.family is Family.gpt2:
        sizes: dict[str, Any] = {
            "n_positions": config.max_positions,
            "n_embd": config.width,
            "n_layer": config.layers,
            "n_head": config.heads,
        }
        return GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **sizes, **shared)
    return LlamaConfig(
        max_position_embeddings=config.max_positions,
        hidden_size=config.width,
        intermediate_size=-(-config.width // 3) * 8,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        attention_dropout=0.0,
        **shared,
    )


def read_module(loader: Any, folder: Path, attention: str | None = "sdpa", **settings: Any) -> Any:
    """A transformers model from local safetensors, in float32, without dropout; `UserError` if
    weights are missing. attention: None leaves the choice to the family, as some have no sdpa."""
    check_model_config(folder)
    try:
        if (module := _in_parts(loader, folder, attention, **settings)) is not None:
            return module
        module, report = loader.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            **settings,
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise UserError(f"{folder}: the model cannot be read: {error}") from error
    if other := sorted(report["mismatched_keys"]):
        name, stored, made = other[0]
        raise UserError(
            f"{folder}: by config.json {name} is {list(made)}, but the weights have "
            f"{list(stored)}: config and weights are of different models. Copy the right "
            "config.json."
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{folder} lacks weights of {type(module).__name__}: {', '.join(missing[:3])}. "
            "Is it another kind of model?"
        )
    _without_dropout(module)
    # Weights read from a file are in its memory map, at addresses for which kernels round
    # differently: a loaded model would differ in the last bit from the one that was saved. Copies
    # are aligned, and do not need the file any more.
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
    quantised.keep_out_of_states(module)
    return module


def _in_parts(loader: Any, folder: Path, attention: str | None, **settings: Any) -> Any:
    """The model, of which each process has read its part; None if weights are not divided, or are
    not in the files as the module has them."""
    if (division := current_division()) is None:
        return None
    module = hollow(loader, folder, attention, **settings)
    if other := unlike(module, folder):
        if is_main():
            os.write(2, _WHOLE.format(folder, other).encode())
        return None
    _without_dropout(module)
    divide(module, folder, division)
    return module


_WHOLE = (
    "preflab: {0}: {1} is not in its files under that name and in that shape, or differs from the "
    "weight that it is tied to, so that every process reads the whole model before it is divided\n"
)


def _without_dropout(module: torch.nn.Module) -> None:
    """Old and new log-probs must come from the same network: every dropout is off, also in a
    module in training mode."""
    config: Any = module.config
    for name, value in vars(config).items():
        if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop")):
            setattr(config, name, 0.0)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(getattr(part, "attention_dropout", None), float):
            setattr(part, "attention_dropout", 0.0)  # noqa: B010


def check_head(policy: CausalPolicy, folder: Path) -> None:
    """Some families scale or cap their logits after the unembedding; refuse them rather than train
    on other numbers."""
    ids = torch.tensor([[0, 1, 2, 3]], device=policy.module.device)
    with torch.no_grad():
        logits = policy.logits(policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)))
        own_logits = policy.module(input_ids=ids).logits.float()
    if not torch.allclose(logits, own_logits, rtol=1e-3, atol=1e-3):
        raise UserError(
            f"{folder}: {type(policy.module).__name__} changes its logits after the unembedding, "
            "which preflab does not do."
        )
