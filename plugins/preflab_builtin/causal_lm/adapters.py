"""Adapters of low rank (LoRA, Hu et al. 2021): the weights of a model stay as they are, and small
matrices beside its projections are trained. peft injects them and its format saves them.

Weights that are not trained are shared and never changed: by the policy, by what it was at the
start of the stage (the reference of a KL penalty), and by a value network and the reward model that
it began as. Processes that divide weights share their parts. So a merged model is always a copy:
merging and unmerging would move the last bits.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from preflab.errors import UserError, nearest
from preflab.sharding import division_of, is_sharded, outline, rows_of, shard
from preflab_builtin.causal_lm import quantised
from preflab_builtin.causal_lm.checking import ADAPTER_FOLDER
from preflab_builtin.causal_lm.config import LoraConfig
from preflab_builtin.causal_lm.fast.low_rank import knows, low_rank

_NAME, _BASE = "default", ".base_layer"


def has_adapters(module: nn.Module) -> bool:
    """Whether a module has adapters."""
    return any(low_rank(part) is not None for part in module.modules())


def with_adapters(module: Any, lora: LoraConfig, generator: torch.Generator) -> Any:
    """The module with new adapters, which change nothing until they are trained. Its base model
    shares the weights of ``module``, which are frozen in both; a score head is a copy, and is
    trained.

    generator: draws the first matrix of each adapter, as peft does: uniform within 1 / sqrt(width
    in) (Kaiming with a = sqrt(5)); the second one is zero.
    """
    from peft import inject_adapter_in_model

    base = getattr(module, module.base_model_prefix)
    head = getattr(module, "score", None)
    own = set() if head is None else {id(p) for p in head.parameters()}
    divided = is_sharded(module)
    memo: dict[int, Any] = {id(p): p for p in module.parameters() if id(p) not in own}
    twin: Any = outline(module) if divided else copy.deepcopy(module, memo)
    config = _peft_config(lora, base)
    # Made without numbers, so that nothing is drawn from torch's global streams.
    inject_adapter_in_model(config, twin, adapter_name=_NAME, low_cpu_mem_usage=True)
    for part in twin.modules():
        if (adapter := low_rank(part)) is not None:
            weight = adapter.base.weight
            inputs = adapter.a.shape[1]
            a = torch.empty(adapter.a.shape).uniform_(-1, 1, generator=generator) * inputs**-0.5
            b = torch.zeros(adapter.b.shape)
            for factor, numbers in ((part.lora_A, a), (part.lora_B, b)):
                place = division_of(module).device if divided else weight.device
                factor[_NAME].weight = nn.Parameter(numbers.to(place))
    if head is not None:
        twin.score.requires_grad_(True)
    if divided:
        module.requires_grad_(False)
        _share_parts(twin, module)
    return twin.eval()


def _share_parts(twin: Any, module: Any) -> None:
    """Divide a module that has no weights yet; it gets the parts that ``module`` has, under the
    same names with and without adapters, but a copy of a score head."""
    rows = rows_of(module)
    parameters = module.named_parameters(remove_duplicate=False)
    names = {name.replace(_BASE, ""): name for name, _ in parameters}

    def shared(name: str, first: int, end: int) -> torch.Tensor:
        own = rows(names[name.replace(_BASE, "")], first, end)
        return own.clone() if name.startswith("score.") else own

    shard(twin, division_of(module), shared)


def without_adapters(module: Any, merged: bool = False) -> Any:
    """The module without adapters; all weights are shared. merged: what the adapters learned is in
    the matrices, which then are new tensors."""
    divided = is_sharded(module)
    assert not (divided and merged), "adapters are merged into whole weights"
    memo = {id(p): p for p in module.parameters()}
    twin: Any = outline(module) if divided else copy.deepcopy(module, memo)
    for name, part in list(twin.named_modules()):
        if (adapter := low_rank(part)) is not None:
            plain = adapter.base
            if merged and next(quantised.parts(plain), None) is not None:
                plain = quantised.in_float32(plain)
                adapter = replace(adapter, base=plain)
            elif merged and not knows(part):
                raise UserError(
                    f"{name} has an adapter that cannot be merged here ({type(part).__name__}: "
                    "DoRA, a bias of its own, several at a time or switched off). Whoever put it "
                    "there must merge it (merge_and_unload) before the model is saved."
                )
            if merged:
                with torch.no_grad():
                    plain.weight = nn.Parameter(adapter.merged(), requires_grad=False)
            twin.set_submodule(name, plain)
    if merged:
        quantised.all_in_float32(twin)
    if hasattr(twin, "peft_config"):
        del twin.peft_config
    if divided:
        _share_parts(twin, module)
    return twin


def name_of(origin: Path, folder: Path) -> str:
    """How the adapter of a model folder names the folder under it: an artifact beside by the way
    from the adapter, a model of the hub by its id, any other folder by its own name. Where these
    lie on this machine means nothing on another. A folder's name begins with a dot, so that nobody
    takes it for an id of the hub."""
    place, own = origin.resolve(), folder.resolve()
    if place.parent.parent in own.parents:
        return os.path.relpath(place, own / ADAPTER_FOLDER)
    repository = origin.parent.parent.name
    if origin.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1)
    return f"./{origin.name if origin.is_absolute() else origin}"


def write_adapter(module: Any, lora: LoraConfig, base_name: str, folder: Path) -> None:
    """The adapters of a module (and its score head) as peft reads them. base_name: of the model
    that they belong to."""
    from safetensors.torch import save_file

    scalar = hasattr(module, "score")
    plain = without_adapters(module)
    config = _peft_config(lora, getattr(plain, plain.base_model_prefix))
    config.base_model_name_or_path = base_name
    config.task_type = "SEQ_CLS" if scalar else "CAUSAL_LM"
    config.modules_to_save = ["score"] if scalar else None
    config.inference_mode = True
    folder.mkdir()
    config.save_pretrained(folder)
    kept = {
        f"base_model.model.{name.replace(f'.{_NAME}.', '.')}": weight.detach().cpu().contiguous()
        for name, weight in module.state_dict().items()
        if ".lora_" in name or name.startswith("score.")
    }
    save_file(kept, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _peft_config(lora: LoraConfig, base: nn.Module) -> Any:
    from peft import LoraConfig as PeftConfig

    assert lora.rank is not None
    names = target_names(base, lora.names())
    parts = (p for n, p in base.named_modules() if n.endswith(tuple(names)))
    transposed = any(isinstance(part, Conv1D) for part in parts)
    make: Any = PeftConfig  # it calls alpha a whole number, and takes any
    return make(
        r=lora.rank, lora_alpha=lora.scaled(), target_modules=names, fan_in_fan_out=transposed
    )


def target_names(base: nn.Module, targets: Iterable[str]) -> list[str]:
    """The projections that get adapters, by the ends of their names; `UserError` for one that the
    model does not have."""
    found = sorted({_ending(n) for n, p in base.named_modules() if _is_projection(p)})
    groups = {
        "all": found,
        "all-linear": found,  # peft's word for it
        "attention": [name for name in found if "attn" in name or "attention" in name],
    }
    groups["mlp"] = [name for name in found if name not in groups["attention"]]
    chosen: list[str] = []
    for target in targets:
        own = [name for name in found if f".{name}".endswith(f".{target}")]
        names = groups.get(target) or own
        if not names:
            words = ["all", "attention", "mlp", *(name.split(".")[-1] for name in found)]
            raise UserError(
                f"policy.lora.targets: {type(base).__name__} has no projection '{target}'. "
                f"{nearest(target, words)}"
            )
        chosen += names
    return list(dict.fromkeys(chosen))


def _is_projection(part: nn.Module) -> bool:
    return isinstance(part, (nn.Linear, Conv1D))


def _ending(name: str) -> str:
    """The last two parts of a projection's name: "attn.c_proj" and "mlp.c_proj" are different
    ones."""
    parts = name.split(".")[-2:]
    return ".".join(parts[1:] if parts[0].isdigit() else parts)
