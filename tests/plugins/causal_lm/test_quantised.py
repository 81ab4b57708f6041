"""Weights in 4 bits beside adapters: what is refused, what transformers is told, and, where
bitsandbytes is installed, the whole way on a CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from preflab.errors import UserError
from preflab.interfaces import Policy
from preflab.options import problems
from preflab.runtime import Precision
from preflab_builtin.causal_lm import quantised, reading
from preflab_builtin.causal_lm.config import Family, LoraConfig, PretrainedConfig, TinyConfig
from preflab_builtin.causal_lm.preflight import _check_lora
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from support import WORDS, FakeContext

IDS = torch.arange(3, 19).view(2, 8)
MASK = torch.ones_like(IDS, dtype=torch.bool)


def folder(root: Path, width: int = 32, seed: int = 1) -> Path:
    shape: Any = {"family": Family.llama, "layers": 2, "width": width, "heads": 2}
    made = TinySource(TinyConfig(**shape), WORDS)
    made.create(torch.Generator().manual_seed(seed)).save(root / "base")
    return root / "base"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 4, "bits": 8}, "must be 4 or null"),
        ({"bits": 4}, "not trained: give policy.lora.rank too"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], message: str) -> None:
    config = PretrainedConfig(path="x", lora=LoraConfig(**options))
    assert any(message in said for _, said in problems(config))


def test_a_cpu_refuses_before_any_work(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    lora = LoraConfig(rank=4, bits=4)
    config = reading.model_config(folder(tmp_path))
    with pytest.raises(UserError, match=r"bits=4 needs a GPU: .* computes on a CPU\. Leave"):
        _check_lora(lora, config, FakeContext(tmp_path))


def test_what_a_gpu_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    lora = LoraConfig(rank=4, bits=4)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'preflab[qlora]'" in lora.missing()
    assert LoraConfig(rank=4).missing() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert lora.missing() == ""
    with pytest.raises(UserError, match="GPT-2 keeps its matrices transposed"):
        quantised.check("gpt2", "cuda")
    with pytest.raises(UserError, match="sharding=full do not work together"):
        quantised.check("llama", "cuda", divided=True)
    quantised.check("llama", "cuda")


@pytest.mark.parametrize(
    ("precision", "computed"),
    [(Precision.float32, torch.float32), (Precision.bfloat16, torch.bfloat16)],
)
def test_transformers_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: Precision, computed: torch.dtype
) -> None:
    """Of every folder that the run reads: policies and scalar models."""
    told: list[dict[str, Any]] = []

    def read(loader: Any, place: Path, **settings: Any) -> Any:
        told.append(settings)
        raise RuntimeError

    monkeypatch.setattr(reading, "read_module", read)
    context: Any = FakeContext(tmp_path)
    context.runtime.config.precision = precision
    base = folder(tmp_path)
    source = FolderSource(base, "cpu").taking(LoraConfig(rank=4, bits=4), context)
    for load in (source.load, source.load_scalar):
        with pytest.raises(RuntimeError):
            load(base)
    plain = FolderSource(base, "cpu").taking(LoraConfig(rank=4), context)
    with pytest.raises(RuntimeError):
        plain.load(base)
    assert [settings.keys() for settings in told] == [
        {"quantization_config", "device_map"},
        {"quantization_config", "device_map", "num_labels"},
        set(),
    ]
    config = told[0]["quantization_config"]
    assert (config.load_in_4bit, config.bnb_4bit_quant_type) == (True, "nf4")
    assert config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype is computed
    assert config.llm_int8_skip_modules == ["lm_head", "score"]
    assert told[0]["device_map"] == {"": torch.device("cpu")}


def test_numbers_in_4_bits_are_counted_as_numbers() -> None:
    """Two numbers share a byte: 64 x 32 numbers are 1,024 bytes."""
    packed: Any = torch.zeros(1024, 1, dtype=torch.uint8)
    packed.quant_state = SimpleNamespace(shape=torch.Size([64, 32]))
    assert quantised.numbers(packed) == 2048
    assert quantised.numbers(torch.zeros(3, 4)) == 12


def test_numbers_in_4_bits_are_part_of_the_version(tmp_path: Path) -> None:
    """States leave them out, and two models that differ in them alone are two."""
    policy = FakeContext(tmp_path).policy("base")
    part: Any = policy.module.get_submodule("model.layers.0.mlp.up_proj")
    scales = torch.ones(2)
    constants = {"absmax": scales, "quant_type": "nf4"}
    part.weight.quant_state = SimpleNamespace(as_dict=lambda: constants)
    quantised.keep_out_of_states(policy.module)
    assert not any("up_proj" in n for n in policy.module.state_dict() if "layers.0" in n)
    before = policy.version
    for numbers in (part.weight.detach(), scales):
        numbers.neg_()
        assert policy.version != before
        numbers.neg_()
        assert policy.version == before


def test_adapters_beside_4_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, which a run refuses: the weights are near those of the folder, the fast paths leave
    them to transformers, adapters alone are trained and in a state, and what is saved is float32
    and computes the same."""
    pytest.importorskip("peft", reason="the extra lora is not installed")
    bits = pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    # On some CPUs it lays weights out anew while it reads them.
    monkeypatch.setattr(bits.nn.modules, "has_avx512bf16", lambda: False)
    base, context = folder(tmp_path, 96), FakeContext(tmp_path)
    source = FolderSource(base, "cpu").taking(LoraConfig(rank=4, bits=4), context)
    policy = source.load(base).adapted(torch.Generator().manual_seed(2))
    assert policy is not None
    reference = policy.without_adapters()
    assert reference is not None
    assert len(list(quantised.parts(policy.module))) == 2 * 7
    assert policy._fast_path() is None
    plain = FolderSource(base, "cpu").load(base)
    with torch.no_grad():
        whole, before = (p.logits(p.hidden(IDS, MASK)) for p in (plain, policy))
    assert 0 < float((whole - before).abs().max()) < 0.2 * float(whole.abs().max())
    assert policy.cost.matrices == plain.cost.matrices + sum(
        p.numel() for n, p in policy.module.named_parameters() if ".lora_" in n
    )

    state = policy.module.state_dict()
    assert not any(
        "layers" in n and n.endswith("weight") and "lora_" not in n
        for n in state
        if "norm" not in n
    )
    optimizer = torch.optim.AdamW([p for p in policy.module.parameters() if p.requires_grad], 0.01)
    for _ in range(3):
        hidden = policy.hidden(IDS, MASK)[:, :-1].flatten(0, 1)
        log_probs, _ = policy.log_probs(hidden, IDS[:, 1:].flatten())
        torch.autograd.backward(-log_probs.mean())
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        after = policy.logits(policy.hidden(IDS, MASK))
        assert torch.equal(reference.logits(reference.hidden(IDS, MASK)), before)
    assert float((after - before).abs().max()) > 0.01
    again = source.load(base).adapted(torch.Generator().manual_seed(3))
    assert again is not None
    again.module.load_state_dict(policy.module.state_dict())
    with torch.no_grad():
        assert torch.equal(again.logits(again.hidden(IDS, MASK)), after)

    policy.save(tmp_path / "model")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert {p.dtype for p in saved.parameters()} == {torch.float32}
    assert "quantization" not in (tmp_path / "model" / "config.json").read_text()
    with torch.no_grad():
        assert torch.allclose(saved(IDS).logits, after, atol=1e-4)
    _is_given(policy, saved.state_dict())
    assert {name for name, _ in reference.weights()} == saved.state_dict().keys()
    assert reference.version == source.load(base).version
    assert reference.version != source.load(folder(tmp_path / "other", 96, seed=5)).version
    value = policy.scalar_model(torch.Generator().manual_seed(4))
    shared = {id(p) for p in policy.module.parameters()}
    assert all(id(part.weight) in shared for _, part in quantised.parts(value.module))


def _is_given(policy: Policy, saved: dict[str, torch.Tensor]) -> None:
    """An engine with a copy of a policy gets what is saved."""
    given = dict(policy.weights())
    assert given.keys() == saved.keys()
    assert all(torch.equal(given[name], tensor) for name, tensor in saved.items())
