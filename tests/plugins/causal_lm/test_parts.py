"""Processes that divide weights read their rows of a model folder, and have what others have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from preflab import UserError
from preflab.optimization import Optimization, OptimizerConfig
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding
from preflab.sharding import current_division, dividing, gathered, is_sharded, local
from preflab_builtin.causal_lm import parts
from preflab_builtin.causal_lm.adapters import has_adapters
from preflab_builtin.causal_lm.config import Family, LoraConfig, TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.sources import TinySource
from processes import trained
from support import largest_difference, represented_by

FAMILIES = [Family.llama, Family.gpt2]


@dataclass(frozen=True)
class Reading:
    """A policy, a value network made of it and a copy of that, read in parts and as a whole."""

    family: Family

    def __call__(self, folder: Path) -> None:
        runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
        source = source_of(self.family)
        if runtime.rank == 0:
            made = source.create(torch.Generator().manual_seed(0))
            made.module.generation_config.update(temperature=0.7)
            made.save(folder / "made")
        runtime.gather([0])
        numbers: list[int] = []
        read = parts._rows

        def counted(*which: Any) -> torch.Tensor:
            rows = read(*which)
            numbers.append(rows.numel())
            return rows

        setattr(parts, "_rows", counted)  # noqa: B010
        with runtime.dividing():
            policy = source.load(folder / "made")
            value = policy.scalar_model(torch.Generator().manual_seed(1)).copy()
        whole = source.load(folder / "made")
        whole_value = whole.scalar_model(torch.Generator().manual_seed(1))
        total = sum(p.numel() for p in whole.module.parameters())
        # 259 rows of the embedding are 130 and 129.
        assert abs(sum(numbers) - total / 2) <= 32
        assert policy.head.weight is policy.module.get_input_embeddings().weight
        for one, other in ((policy, whole), (value, whole_value)):
            assert is_sharded(one.module)
            assert not is_sharded(other.module)
            # A pad that was sampled is a token like any other, and trained.
            assert one.module.get_input_embeddings().padding_idx is None
            expected = other.module.state_dict()
            for name, weight in gathered(one.module.state_dict()).items():
                assert torch.equal(weight, expected[name])
            buffers = dict(other.module.named_buffers())
            for name, buffer in one.module.named_buffers():
                assert torch.equal(buffer, buffers[name])
        ids = torch.arange(9)[None]
        mask = torch.ones_like(ids, dtype=torch.bool)
        assert torch.equal(
            value.values(value.hidden(ids, mask)), whole_value.values(whole_value.hidden(ids, mask))
        )
        policy.save(folder / "parts")
        if runtime.rank == 0:
            whole.save(folder / "whole")
            for file in (folder / "whole").iterdir():
                assert (folder / "parts" / file.name).read_bytes() == file.read_bytes()


@dataclass(frozen=True)
class Adapting:
    """Three steps of adapters and of a value network's, in processes that divide weights or in one;
    the folders then are policy, value and before (what the policy is without its adapters)."""

    family: Family

    def __call__(self, folder: Path) -> None:
        runtime = Runtime(RuntimeConfig(device=Device.cpu, threads=1, sharding=Sharding.full))
        source = source_of(self.family)
        if runtime.rank == 0:
            made = source.create(torch.Generator().manual_seed(0))
            made.save(folder / "made")
            made.scalar_model(torch.Generator().manual_seed(1)).save(folder / "scalar")
        runtime.gather([0])
        source.lora = LoraConfig(rank=3, alpha=6)
        with runtime.dividing():
            policy = source.load(folder / "made").adapted(torch.Generator().manual_seed(2))
            assert policy is not None
            before = policy.without_adapters()
            scorer = source.load_scalar(folder / "scalar")
            value = scorer.adapted(torch.Generator().manual_seed(3))
            drawn = policy.scalar_model(torch.Generator().manual_seed(4))
        assert before is not None
        assert value is not None
        assert has_adapters(drawn.module)
        ids = torch.arange(10).view(2, 5)
        mask = torch.ones_like(ids, dtype=torch.bool)
        assert (policy._fast_path() is not None) is policy.fast
        with torch.no_grad():
            assert torch.equal(policy.hidden(ids, mask), before.hidden(ids, mask))
            scored, expected = (m.values(m.hidden(ids, mask)) for m in (value, scorer))
            assert torch.equal(scored, expected)
        places = {local(p).data_ptr() for p in before.module.parameters()}
        frozen = [p for p in policy.module.parameters() if not p.requires_grad]
        assert {local(p).data_ptr() for p in frozen} == places  # no weight is there twice
        also_frozen = [p for p in drawn.module.parameters() if not p.requires_grad]
        assert {local(p).data_ptr() for p in also_frozen} == places
        for model in (policy, value):
            self.train(model, ids, mask, runtime)
        for model, name in ((policy, "policy"), (value, "value"), (before, "before")):
            model.save(folder / name)

    def train(self, model: Any, ids: torch.Tensor, mask: torch.Tensor, runtime: Runtime) -> None:
        module = model.module
        config = OptimizerConfig(lr=1e-2, eps=1e-5)
        optimization = Optimization(config, module.parameters(), 3, runtime, "adapters")
        for step in range(3):
            for row in runtime.passes(range(2), 1):
                read = list(row)
                loss = model.hidden(ids[read], mask[read]).square().sum()
                if hasattr(module, "score"):
                    loss = model.values(model.hidden(ids[read], mask[read])).square().sum()
                torch.autograd.backward(loss)
            optimization.step(step)


def source_of(family: Family) -> TinySource:
    tokenizer = TokenizerKind.bytes
    config = TinyConfig(family=family, layers=2, width=32, heads=2, tokenizer=tokenizer)
    return TinySource(config, None)


@pytest.mark.parametrize("family", represented_by([Family.llama], FAMILIES))
def test_adapters_beside_divided_weights(family: Family, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra lora is not installed")
    one, two = (trained(Adapting(family), tmp_path / str(n), n) for n in (1, 2))
    for name in ("policy", "value"):
        files = (f"{name}/model.safetensors", f"{name}/adapter/adapter_model.safetensors")
        for file in files:
            assert largest_difference(load_file(one / file), load_file(two / file)) <= 1e-6
    assert (two / "before/model.safetensors").read_bytes() == (
        two / "made/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("family", represented_by([Family.llama], FAMILIES))
def test_each_process_reads_its_rows(family: Family, tmp_path: Path) -> None:
    trained(Reading(family), tmp_path / "two", 2)


def test_what_is_not_there_by_name_and_shape_is_read_as_a_whole(tmp_path: Path) -> None:
    """transformers knows old names of weights; a folder that lacks one is refused as ever."""
    folder = tmp_path / "model"
    source_of(Family.gpt2).create(torch.Generator().manual_seed(0)).save(folder)
    from transformers import AutoModelForCausalLM

    module = parts.hollow(AutoModelForCausalLM, folder, "sdpa")
    assert all(parameter.is_meta for parameter in module.parameters())
    assert parts.unlike(module, folder) == ""
    file = folder / "model.safetensors"
    weights = load_file(file)
    short = {name.removeprefix("transformer."): weight for name, weight in weights.items()}
    save_file(short, file, metadata={"format": "pt"})
    assert parts.unlike(module, folder) == "transformer.wte.weight"
    weights["transformer.wpe.weight"] = torch.zeros(3, 32)
    save_file(weights, file, metadata={"format": "pt"})
    assert parts.unlike(module, folder) == "transformer.wpe.weight"
    del weights["transformer.wpe.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    assert parts.unlike(module, folder) == "transformer.wpe.weight"
    with pytest.raises(UserError, match="lacks weights"):
        source_of(Family.gpt2).load(folder)


def test_a_tied_weight_that_is_stored_twice_is_read_in_parts_only_if_both_are_equal(
    tmp_path: Path,
) -> None:
    """transformers unties what has different numbers: each process would read one of them twice."""
    folder = tmp_path / "model"
    source_of(Family.gpt2).create(torch.Generator().manual_seed(0)).save(folder)
    from transformers import AutoModelForCausalLM

    module = parts.hollow(AutoModelForCausalLM, folder, "sdpa")
    file = folder / "model.safetensors"
    weights = load_file(file)
    for more, found in ((0.0, ""), (1.0, "transformer.wte.weight")):
        weights["lm_head.weight"] = weights["transformer.wte.weight"] + more
        save_file(weights, file, metadata={"format": "pt"})
        assert parts.unlike(module, folder) == found
        whole = source_of(Family.gpt2).load(folder)
        embedding = whole.module.get_input_embeddings().weight
        assert (whole.head.weight is embedding) is (more == 0)


def test_one_process_divides_nothing() -> None:
    runtime = Runtime(RuntimeConfig(device=Device.cpu, sharding=Sharding.full))
    with runtime.dividing():
        assert current_division() is None
    division = runtime.division
    with dividing(division):
        assert current_division() == division
    assert current_division() is None
