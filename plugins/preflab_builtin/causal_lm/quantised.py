"""Base weights in 4 bits beside adapters (QLoRA, Dettmers et al. 2023, arXiv 2305.14314): read by
transformers, computed by bitsandbytes.

They are never trained and never written: checkpoints hold what is trained, and a saved model is
float32 again, the adapters merged into what the 4 bits stand for. The fast paths do not know such
parts, so that transformers' own passes compute them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from preflab.errors import UserError

BITS = 4
HEADS = ("lm_head", "score")
"""Parts that stay float32, as embeddings and norms do."""


def check(model_type: str, device: str, divided: bool = False) -> None:
    """`UserError` where 4 bits cannot be computed, before any work. device: "cpu" or "cuda";
    divided: among processes. Whether the package is there, a config says (`missing`)."""
    if device != "cuda":
        raise UserError(
            f"policy.lora.bits={BITS} needs a GPU: it exists to save a GPU's memory, and this run "
            f"computes on a {device.upper()}. Leave policy.lora.bits out: adapters beside "
            "float32 weights give what 4 bits come near to. (A plan for a machine with a GPU needs "
            "none here: give runtime.device=cuda.)"
        )
    if divided:
        raise UserError(
            f"policy.lora.bits={BITS} and runtime.sharding=full do not work together: the 4-bit "
            "weights are whole on each device. Leave one of them out."
        )
    if model_type == "gpt2":
        raise UserError(
            f"policy.lora.bits={BITS}: GPT-2 keeps its matrices transposed, which is not supported "
            "in 4 bits. Leave policy.lora.bits out, or use a model of another family."
        )


def reading(device: torch.device, bfloat16: bool) -> dict[str, Any]:
    """What `from_pretrained` is told to read weights into 4 bits: the format NF4 with quantised
    constants, as QLoRA has it. bfloat16: the products' number format, else float32."""
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    config = make(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if bfloat16 else torch.float32,
        llm_int8_skip_modules=list(HEADS),
    )
    return {"quantization_config": config, "device_map": {"": device}}


def parts(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The projections in 4 bits, by name."""
    for name, part in module.named_modules():
        if getattr(part._parameters.get("weight"), "quant_state", None) is not None:
            yield name, part


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """What the projections in 4 bits are made of: packed numbers, and the constants beside them."""
    found: dict[str, torch.Tensor] = {}
    for name, part in parts(module):
        found[f"{name}.weight"] = part.weight.detach()
        for constant, value in part.weight.quant_state.as_dict().items():
            if isinstance(value, torch.Tensor):
                found[f"{name}.{constant}"] = value
    return found


def keep_out_of_states(module: nn.Module) -> None:
    """Leave weights in 4 bits out of states: they are read from their folder again."""
    for _, part in parts(module):
        part.register_state_dict_post_hook(_left_out)
        part.register_load_state_dict_pre_hook(_as_it_is)


def _left_out(part: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}weight")]:
        del state[name]


def _as_it_is(part: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state[f"{prefix}weight"] = part.weight.data


def in_float32(part: Any) -> nn.Linear:
    """A new projection with what the 4 bits stand for."""
    from bitsandbytes.functional import dequantize_4bit  # type: ignore[import-not-found]

    weight = dequantize_4bit(part.weight.data, part.weight.quant_state).float()
    plain = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    plain.weight = nn.Parameter(weight, requires_grad=False)
    plain.bias = part.bias
    return plain


def all_in_float32(module: Any) -> None:
    """Put float32 projections into the place of those in 4 bits, and let the module's config say
    nothing of them."""
    for name, part in list(parts(module)):
        module.set_submodule(name, in_float32(part))
    if getattr(module, "hf_quantizer", None) is not None:
        module.hf_quantizer = None
        module.is_quantized = module.is_loaded_in_4bit = False
        if hasattr(module.config, "quantization_config"):
            del module.config.quantization_config


def numbers(weight: torch.Tensor) -> int:
    """How many numbers a weight stands for."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else int(torch.Size(state.shape).numel())
