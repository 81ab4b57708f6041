"""Models read from a folder by processes that divide the weights: each reads its own rows of every
weight, so that no process ever has the whole model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from transformers import AutoConfig, GenerationConfig

from preflab.sharding import Division, shard
from preflab_builtin.causal_lm.weights import Weight, weights


def hollow(loader: Any, folder: Path, attention: str | None, **settings: Any) -> Any:
    """The model of a folder with its buffers, its weights without numbers (on torch's device
    "meta"). loader: an Auto class of transformers; settings: of the config."""
    config = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **settings
    )
    chosen = {} if attention is None else {"attn_implementation": attention}
    # Buffers that no file holds, such as the frequencies of rotary positions, are made here.
    with init_empty_weights(include_buffers=False), torch.random.fork_rng(devices=[]):
        module = loader.from_config(config, dtype=torch.float32, trust_remote_code=False, **chosen)
    module.tie_weights()
    if module.can_generate():
        read: Any = partial(GenerationConfig.from_pretrained, folder, local_files_only=True)
        try:
            module.generation_config = read()
        except OSError:  # no such file: as transformers takes it from config.json
            module.generation_config = read(config_file_name="config.json", _from_model_config=True)
    return module.eval()


def unlike(module: Any, folder: Path) -> str:
    """A tensor of the module that a folder does not hold under its name and in its shape, or holds
    twice with different numbers though it is tied; "" if there is none. transformers renames and
    joins some, and unties such a one; here they are only read."""
    found = weights(folder)
    for parameter, names in _names(module).items():
        held = [name for name in names if name in found]
        if not held or any(found[name].shape != tuple(parameter.shape) for name in held):
            return names[0]
        if not _are_one({name: found[name] for name in held}):
            return held[0]
    stored = {n for n, _ in module.named_buffers() if n in module.state_dict()}
    return next((name for name in sorted(stored - found.keys())), "")


def divide(module: Any, folder: Path, division: Division) -> None:
    """Divide a hollow module, for which every process reads its rows from the folder."""
    found = weights(folder)
    held = {
        name: next(other for other in names if other in found)
        for names in _names(module).values()
        for name in names
    }
    for name, buffer in module.named_buffers():
        if name in found:
            buffer.copy_(_tensor(found[name], name))

    def rows(name: str, first: int, end: int) -> torch.Tensor:
        return _rows(found[held[name]], held[name], first, end)

    shard(module, division, rows)


def _are_one(tied: Mapping[str, Weight]) -> bool:
    """Whether a tied tensor has the same numbers under each name that a folder has it by."""
    if len(tied) == 1:
        return True
    first, *others = (_tensor(weight, name) for name, weight in tied.items())
    return all(first.dtype == other.dtype and torch.equal(first, other) for other in others)


def _tensor(weight: Weight, name: str) -> torch.Tensor:
    """A tensor in the memory map of its file."""
    with safe_open(weight.file, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor


def _rows(weight: Weight, name: str, first: int, end: int) -> torch.Tensor:
    """Rows of a tensor, in float32 and in memory of their own."""
    with safe_open(weight.file, framework="pt") as file:
        rows: torch.Tensor = file.get_slice(name)[first:end]
    return rows.to(torch.float32, copy=True)


def _names(module: Any) -> dict[Any, list[str]]:
    """The names of each parameter: tied ones have several."""
    names: dict[Any, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return names
