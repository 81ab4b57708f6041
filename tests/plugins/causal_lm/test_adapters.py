"""Adapters of low rank: what is trained, what stays, what is saved, and the reference of a KL
penalty."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from framework.storage.test_keeping import stage_row
from framework.storage.test_runs import write
from preflab.errors import UserError
from preflab.interfaces import Policy
from preflab.optimization import OptimizerConfig, Schedule
from preflab.rewards import FunctionReward
from preflab.storage import checkpoints
from preflab.storage.artifacts import Store
from preflab.storage.keeping import export
from preflab_builtin.causal_lm import preflight
from preflab_builtin.causal_lm.adapters import name_of, target_names
from preflab_builtin.causal_lm.config import Family, LoraConfig, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import TinySource
from preflab_builtin.combined.config import CombinedConfig
from preflab_builtin.combined.scoring import CombinedReward
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import training
from preflab_builtin.reward_model.scoring import NetworkReward
from preflab_builtin.reward_model.training import freeze_below
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine
from support import WORDS, FakeContext, cpu_runtime
from tiny_ppo import DOCUMENTS, PROMPTS, config, steps, weights

peft = pytest.importorskip("peft", reason="the extra lora is not installed")

# Of peft, when it wraps a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

FAMILIES = [Family.gpt2, Family.llama]
IDS = torch.arange(3, 19).view(2, 8)
MASK = torch.ones_like(IDS, dtype=torch.bool)


def source(family: Family = Family.llama, **lora: object) -> TinySource:
    made = TinySource(TinyConfig(family=family, layers=2, width=32, heads=2), WORDS)
    made.lora = LoraConfig(**{"rank": 4, **lora})  # type: ignore[arg-type]
    return made


def base(family: Family, folder: Path) -> CausalPolicy:
    """A policy as a stage finds it, in a folder."""
    own = source(family)
    own.create(torch.Generator().manual_seed(1)).save(folder / "base")
    return own.load(folder / "base")


def adapted(policy: CausalPolicy) -> CausalPolicy:
    made = policy.adapted(torch.Generator().manual_seed(2))
    assert made is not None
    return made


def train(policy: CausalPolicy) -> None:
    trained = [p for p in policy.module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(3):
        hidden = policy.hidden_at(IDS, MASK, MASK)
        log_probs, _ = policy.log_probs(hidden, IDS.roll(-1, 1).flatten())
        torch.autograd.backward(-log_probs.mean())
        optimizer.step()
        optimizer.zero_grad()


def by_its_card(folder: Path) -> Any:
    """The adapter of a saved model on the model under it, by the line that its card has."""
    card = (folder / "README.md").read_text().splitlines()
    (words,) = (line.strip() for line in card if "PeftModel" in line)
    names = {c.__name__: c for c in (AutoModelForCausalLM, AutoModelForSequenceClassification)}
    return eval(words, {**names, "PeftModel": peft.PeftModel, "ADAPTER": folder / "adapter"})


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.logits(policy.hidden(IDS, MASK))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_and_what_is_saved(family: Family, tmp_path: Path) -> None:
    before = base(family, tmp_path)
    policy = adapted(before)
    reference = policy.without_adapters()
    assert reference is not None
    # New adapters change nothing, to the last bit, and the weights are there once.
    assert torch.equal(logits(policy), logits(before))
    assert torch.equal(logits(reference), logits(before))
    own = {name.replace(".base_layer", ""): p for name, p in policy.module.named_parameters()}
    same = {name: p.data_ptr() for name, p in before.module.named_parameters()}
    assert {name: own[name].data_ptr() for name in same} == same
    trained = {name for name, p in policy.module.named_parameters() if p.requires_grad}
    assert trained == {name for name in own if ".lora_" in name}
    train(policy)
    assert float((logits(policy) - logits(before)).abs().max()) > 0.01
    assert torch.equal(logits(reference), logits(before))

    policy.save(tmp_path / "model")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    beside = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "model" / "adapter"
    )
    with torch.no_grad():
        for model in (merged, beside):
            assert torch.allclose(model(IDS).logits, logits(policy), atol=1e-6)
    # An engine with a copy of the weights is given what a reader of the folder reads.
    for name, weight in policy.weights():
        assert torch.equal(weight, merged.state_dict()[name])
    settings = peft.PeftConfig.from_pretrained(tmp_path / "model" / "adapter")
    assert settings.base_model_name_or_path == "../../base"
    assert (settings.r, settings.lora_alpha) == (4, 8)
    # What was merged is a copy: the policy and its reference are as they were.
    assert torch.equal(logits(reference), logits(before))


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("/home/me/artifacts/sft-1/model", "../../../sft-1/model"),  # an artifact beside
        ("/data/models/gpt2", "./gpt2"),
        ("/home/me/hub/models--org--a--b/snapshots/0f", "org/a--b"),
        ("models/mine", "./models/mine"),  # as it was typed
    ],
)
def test_a_saved_adapter_names_no_folder_of_this_machine(origin: str, name: str) -> None:
    """Nor is a folder's name taken for one of the hub, which may have a model of that name."""
    assert name_of(Path(origin), Path("/home/me/artifacts/algorithm-2/model")) == name
    if origin[0] != "/" or "hub" not in origin:
        with pytest.raises(HFValidationError):
            validate_repo_id(name)


def test_nor_where_the_artifacts_are_given_by_a_relative_path() -> None:
    found = name_of(Path("artifacts/sft-1/model"), Path("artifacts/algorithm-2/model"))
    assert found == "../../../sft-1/model"


def test_an_artifact_that_is_named_by_a_run_is_one_beside(tmp_path: Path) -> None:
    (tmp_path / "artifacts/sft-1/model").mkdir(parents=True)
    (tmp_path / "run").symlink_to("artifacts/sft-1")
    found = name_of(tmp_path / "run/model", tmp_path / "artifacts/algorithm-2/model")
    assert found == "../../../sft-1/model"


@pytest.mark.slow
def test_peft_opens_the_adapter_in_a_copy_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second job of two that share the model under it, moved, read from another folder, with
    the words of the model's card. The original is gone."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "artifacts")
    made: list[dict[str, str]] = []
    own = source()
    for job, (stage, recipe) in enumerate((("sft", "a"), ("algorithm", "0"), ("algorithm", "1"))):
        with store.making(stage, recipe * 64) as partial:
            partial.mkdir(parents=True)
            if not job:
                own.create(torch.Generator().manual_seed(1)).save(partial / "model")
            else:
                policy = adapted(own.load(Path(made[0]["artifact"]) / "model"))
                train(policy)
                policy.save(partial / "model")
        artifact = store.commit(stage, recipe * 64, {})
        made.append(stage_row(stage, recipe * 64, artifact.folder))
    for job in (0, 1):
        write(tmp_path / f"runs/{job}", stages=[made[0], made[1 + job]])
    export(tmp_path / "runs", tmp_path / "copy")
    shutil.rmtree("artifacts")
    (tmp_path / "copy").rename(tmp_path / "moved")
    model = tmp_path / "moved/1/artifacts/algorithm/model"
    monkeypatch.chdir(tmp_path / "runs")
    beside = by_its_card(model)
    with torch.no_grad():
        assert torch.allclose(beside(IDS).logits, logits(policy), atol=1e-6)


def test_a_value_network_trains_adapters_and_head(tmp_path: Path) -> None:
    policy = adapted(base(Family.llama, tmp_path))
    model = policy.scalar_model(torch.Generator().manual_seed(3))
    names = {name for name, p in model.module.named_parameters() if p.requires_grad}
    assert "score.weight" in names
    assert all(name == "score.weight" or ".lora_" in name for name in names)
    with torch.no_grad():
        for name, p in model.module.named_parameters():
            if ".lora_B." in name:
                p.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(len(name)))
        values = model.values(model.hidden(IDS, MASK))
    model.save(tmp_path / "value")
    read = source().load_scalar(tmp_path / "value")
    after = read.adapted(torch.Generator().manual_seed(4))
    assert after is not None
    beside = by_its_card(tmp_path / "value")
    with torch.no_grad():
        assert torch.allclose(read.values(read.hidden(IDS, MASK)), values, atol=1e-6)
        assert torch.equal(
            after.values(after.hidden(IDS, MASK)), read.values(read.hidden(IDS, MASK))
        )
        beside.config.pad_token_id = read.tokenizer.pad_id
        last = beside(input_ids=IDS, attention_mask=MASK.long()).logits.squeeze(-1)
    assert torch.allclose(last, values[:, -1], atol=1e-6)
    # The reward model's head must not be trained with the value network's.
    assert after.module.score.weight.data_ptr() != read.module.score.weight.data_ptr()
    freeze_below(after.module, 1, "reward_model")
    trained = [name for name, p in after.module.named_parameters() if p.requires_grad]
    assert trained
    assert all(".layers.1." in name or name == "score.weight" for name in trained)
    assert all(".lora_" in name or name == "score.weight" for name in trained)


def test_heads_of_groups_are_trained_with_adapters(tmp_path: Path) -> None:
    policy = adapted(base(Family.llama, tmp_path))
    model = policy.heads_model(torch.Generator().manual_seed(3), ["few", "many"])
    names = {name for name, p in model.module.named_parameters() if p.requires_grad}
    assert "score.weight" in names
    assert all(name == "score.weight" or ".lora_" in name for name in names)
    with torch.no_grad():
        for name, p in model.module.named_parameters():
            if ".lora_B." in name or name == "score.weight":
                p.normal_(0.0, 0.1, generator=torch.Generator().manual_seed(len(name)))
        values = model.values(model.hidden(IDS, MASK))
    model.save(tmp_path / "heads")
    read = source().load_heads(tmp_path / "heads")
    weighted = read.weighted([0.25, 0.75])  # what a value network starts from
    after = weighted.adapted(torch.Generator().manual_seed(4))
    assert after is not None
    expected = values @ torch.tensor([0.25, 0.75])
    with torch.no_grad():
        assert torch.allclose(read.values(read.hidden(IDS, MASK)), values, atol=1e-6)
        for scalar in (weighted, after):
            assert torch.allclose(scalar.values(scalar.hidden(IDS, MASK)), expected, atol=1e-6)


def test_adapters_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (problem,) = LoraConfig(alpha=8).check()
    assert problem == ("rank", "is null, which means no adapters: give a rank, for example 16")
    ((key, _),) = LoraConfig(rank=4, targets=[3]).check()
    assert key == "targets"
    assert not list(LoraConfig(rank=4, targets=["q_proj"]).check())
    model = source().create(torch.Generator()).module.config
    context = FakeContext(tmp_path)
    preflight._check_lora(LoraConfig(rank=4), model, context)
    with pytest.raises(UserError, match="no projection 'k'"):
        preflight._check_lora(LoraConfig(rank=4, targets=["k"]), model, context)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'preflab\[lora\]'"):
        preflight._check_lora(LoraConfig(rank=4), model, context)


def test_targets() -> None:
    gpt2, llama = (source(f).create(torch.Generator()).base for f in FAMILIES)
    everything = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    assert target_names(gpt2, ["all"]) == target_names(gpt2, ["all-linear"]) == everything
    assert target_names(gpt2, ["mlp"]) == ["mlp.c_fc", "mlp.c_proj"]
    assert target_names(gpt2, ["c_proj"]) == ["attn.c_proj", "mlp.c_proj"]
    assert target_names(llama, ["v_proj", "q_proj"]) == ["self_attn.v_proj", "self_attn.q_proj"]
    assert len(target_names(llama, ["attention", "mlp"])) == 7
    with pytest.raises(UserError, match=r"no projection 'q_prj'.*Did you mean 'q_proj'"):
        target_names(llama, ["q_prj"])


def ppo(folder: Path, policy: CausalPolicy) -> OnPolicy:
    rate = OptimizerConfig(lr=1e-2, schedule=Schedule.constant)
    context = FakeContext(
        folder,
        [*PROMPTS, *DOCUMENTS],
        policies={"initial": policy},
        reward=FunctionReward(noise_reward(0)),
        engine=NativeEngine(NativeConfig(max_tokens=6), cpu_runtime()),
    )
    return training.ppo(config(kl=KLPenaltyConfig(coef=0.1), policy=rate, value=rate), context)


def test_ppo_keeps_its_reference_and_resumes_to_the_bit(tmp_path: Path) -> None:
    policy = base(Family.llama, tmp_path)
    start = logits(policy)
    run = ppo(tmp_path, policy)
    before = weights(run)
    rows = steps(run, 0, 2)
    assert rows[0]["objective/kl"] == 0.0  # exactly
    assert rows[1]["objective/kl"] != 0.0
    saved, folder = weights(run), checkpoints.save(tmp_path / "state", 2, run.state_dict())
    frozen = {n for n in before if ".lora_" not in n and n != "value.score.weight"}
    assert frozen
    assert all(torch.equal(before[n], saved[n]) for n in frozen)
    assert all(
        run.optimizations[name].parameters == [p for p in module.parameters() if p.requires_grad]
        for name, module in run._trained().items()
    )
    again = ppo(tmp_path, policy)
    again.load_state_dict(checkpoints.load(folder)[1])
    assert steps(run, 2, 4) == steps(again, 2, 4)
    ends = (weights(run), weights(again))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert run.networks.reference is not None
    assert torch.equal(logits(run.networks.reference), start)
    run.save(tmp_path / "end")
    found = load_file(tmp_path / "end" / "value" / "adapter" / "adapter_model.safetensors")
    assert "base_model.model.score.weight" in found


@pytest.mark.parametrize("rewards, networks", [((), 1), ((5,), 2), ((5, 6, 7), 4)])
def test_ppo_has_each_frozen_weight_once(
    rewards: tuple[int, ...], networks: int, tmp_path: Path
) -> None:
    """The reference is on the weights of the policy. The value network is on those of the first
    reward model, or on the policy's where the reward has no network: what `preflab plan` counts."""
    own = source()
    policy = base(Family.llama, tmp_path)
    models = {}
    for seed in rewards:
        made = policy.copy().scalar_model(torch.Generator().manual_seed(seed))
        made.save(tmp_path / str(seed))
        models[str(seed)] = NetworkReward(own.load_scalar(tmp_path / str(seed)), cpu_runtime())
    reward = CombinedReward(CombinedConfig(members=dict.fromkeys(models)), models, {})
    context = FakeContext(
        tmp_path,
        [*PROMPTS, *DOCUMENTS],
        policies={"initial": policy},
        reward=reward,
        network=reward.network,
        engine=NativeEngine(NativeConfig(max_tokens=6), cpu_runtime()),
    )
    run = training.ppo(config(kl=KLPenaltyConfig(coef=0.1)), context)
    assert run.networks.reference is not None
    assert run.networks.value is not None
    held = [run.policy, run.networks.reference, run.networks.value, *reward.networks]
    bases = [p for network in held for n, p in network.module.named_parameters() if _is_base(n)]
    one = sum(p.nbytes for n, p in policy.module.named_parameters() if _is_base(n))
    assert sum({p.data_ptr(): p.nbytes for p in bases}.values()) == networks * one


def _is_base(name: str) -> bool:
    """Whether a weight is neither of an adapter nor of a head."""
    return ".lora_" not in name and not name.startswith("score.")
