"""Our losses against TRL's, on the same rows and weights, where TRL is installed (`make test-trl`).

Measured with TRL 1.12.0: the losses of DPO and KTO are equal to 1e-12, GRPO's to 2e-8, the
gradients of all to 1e-6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from preflab.interfaces import Policy
from preflab.likelihood import response_log_probs
from preflab.optimization import OptimizerConfig
from preflab.records import Demonstration, Prompt, Ranking, Rollout
from preflab_builtin.group.config import Baseline, GroupClipConfig, GroupKLConfig, Place, Scale
from preflab_builtin.on_policy.config import Aggregate, KLEstimator
from preflab_builtin.on_policy.experience import Experience
from preflab_builtin.on_policy.gradients import accumulate
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.on_policy.rules import denominator
from preflab_builtin.preference.config import PreferenceConfig
from preflab_builtin.preference.loss import kto_losses, reference_point
from preflab_builtin.preference.training import Preference
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext, gradients, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import capture_experience

# TRL's own use of transformers, which is not ours to change.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

PAIRS = [
    (" ".join(WORDS[: 1 + i % 4]), " ".join(WORDS[i : i + 1 + i % 3]), "bad " * (1 + i % 5))
    for i in range(8)
]
"""(prompt, chosen, rejected), of different lengths."""
RANKINGS = [
    Ranking(Prompt(str(i), q, split="train"), (a, b), ((0, 1),))
    for i, (q, a, b) in enumerate(PAIRS)
]
CHOSEN = [{"prompt": q, "chosen": f" {a}", "rejected": f" {b}"} for q, a, b in PAIRS]
"""The same as TRL reads them."""


def trainer(
    kind: str,
    module: Any,
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any] = MappingProxyType({}),
    **more: Any,
) -> Any:
    """TRL's trainer of a kind over rows, all of them in one batch. folder: of the model, with its
    tokenizer; options: of the trainer's config; more: arguments of the trainer."""
    trl, datasets = (
        pytest.importorskip(name, reason="the extra trl is not installed")
        for name in ("trl", "datasets")
    )
    # TRL adds the end token as text; our tokenizers read "<eos>" in a text as a word unless they
    # are told otherwise.
    tokenizer = AutoTokenizer.from_pretrained(folder, split_special_tokens=False)
    tokenizer.backend_tokenizer.encode_special_tokens = False
    settings: dict[str, Any] = {
        "per_device_train_batch_size": len(rows),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        **options,
    }
    arguments = getattr(trl, f"{kind}Config")(output_dir=str(folder / "trl"), **settings)
    dataset = datasets.Dataset.from_list([dict(row) for row in rows])
    return getattr(trl, f"{kind}Trainer")(
        model=module, args=arguments, processing_class=tokenizer, train_dataset=dataset, **more
    )


def loss_of(their: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """TRL's loss of its one batch, and the gradient that it leaves."""
    (batch,) = list(their.get_train_dataloader())
    loss = their.compute_loss(their.model, batch)
    loss.backward()
    return float(loss.detach()), gradients(their.model)


def test_the_reward_loss_of_two_answers_is_that_of_trl(tmp_path: Path) -> None:
    training = KwiseTraining(
        KwiseConfig(batch=8, optimizer=OptimizerConfig(clip=None)), FakeContext(tmp_path, RANKINGS)
    )
    training.model.save(tmp_path / "model")
    watched = training._gradients(training.examples)
    ours = gradients(training.model.module)
    module = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
    loss, theirs = loss_of(trainer("Reward", module, tmp_path / "model", CHOSEN))
    assert watched.loss == pytest.approx(loss, rel=1e-5)
    assert largest_difference(ours, theirs) < 1e-5


def test_the_sft_loss_is_that_of_trl(tmp_path: Path) -> None:
    shown = [
        Demonstration(Prompt(str(i), q, split="train"), a) for i, (q, a, _) in enumerate(PAIRS)
    ]
    context = FakeContext(tmp_path, shown)
    context.policy("base").save(tmp_path / "model")
    training = SupervisedFineTuning(SFTConfig(batch=8, epochs=1), context)
    loss_ours = training._demonstrations(range(8))["loss/sft"]
    ours = gradients(training.policy.module)
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    rows = [{"prompt": q, "completion": f" {a}"} for q, a, _ in PAIRS]
    loss, theirs = loss_of(trainer("SFT", module, tmp_path / "model", rows))
    assert loss_ours == pytest.approx(loss, rel=1e-5)
    assert largest_difference(ours, theirs) < 1e-5


def moved(policy: Policy, size: float) -> None:
    """Change every weight a little, the same way each time."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in policy.module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


# --- pairs ---


def test_the_dpo_loss_is_that_of_trl(tmp_path: Path) -> None:
    config = PreferenceConfig(batch=8, beta=0.3, optimizer=OptimizerConfig(clip=None))
    training = Preference(config, FakeContext(tmp_path, RANKINGS))
    training.policy.save(tmp_path / "reference")
    training.reference = training._reference_log_probs()
    moved(training.policy, 0.03)
    training.policy.save(tmp_path / "model")
    ours = float(training._backward(range(8), 8)[0]) / 8
    module, reference = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("model", "reference")
    )
    options = {"beta": 0.3}
    their = trainer("DPO", module, tmp_path / "model", CHOSEN, options, ref_model=reference)
    loss, theirs = loss_of(their)
    assert abs(ours - 0.6931) > 1e-2  # the policies differ
    assert ours == pytest.approx(loss, abs=1e-6)
    assert largest_difference(gradients(training.policy.module), theirs) < 1e-5


def test_the_kto_loss_is_that_of_trl_on_its_mismatched_pairs(tmp_path: Path) -> None:
    """TRL takes as the mismatched response that of the next row; the rows are all liked ones, then
    all disliked ones."""
    context = FakeContext(tmp_path, RANKINGS)
    policy, start = context.policy("initial"), context.policy("initial")
    start.save(tmp_path / "reference")
    moved(policy, 0.03)
    policy.save(tmp_path / "model")
    liked, disliked = [(q, a) for q, a, _ in PAIRS], [(q, b) for q, _, b in PAIRS]
    rows = [*liked, *disliked]
    answers = [answer for _, answer in rows]
    shifted = [(q, a) for (q, _), a in zip(rows, [*answers[-1:], *answers[:-1]], strict=True)]

    def ratios(chosen: list[tuple[str, str]]) -> torch.Tensor:
        prompts = [Prompt(str(i), q) for i, (q, _) in enumerate(chosen)]
        batch = Rollout.from_texts(context.tokenizer, prompts, [a for _, a in chosen])
        with torch.no_grad():
            theirs = response_log_probs(start, batch).sum(-1)
        return response_log_probs(policy, batch).sum(-1) - theirs

    with torch.no_grad():
        kl = reference_point(ratios(shifted))
    ours = kto_losses(ratios(liked), ratios(disliked), kl, 0.3, 1.2, 0.9).mean()
    torch.autograd.backward(ours)
    module, reference = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("model", "reference")
    )
    given = [{"prompt": q, "completion": f" {a}", "label": i < 8} for i, (q, a) in enumerate(rows)]
    options = {"beta": 0.3, "desirable_weight": 1.2, "undesirable_weight": 0.9}
    their = trainer("KTO", module, tmp_path / "model", given, options, ref_model=reference)
    loss, theirs = loss_of(their)
    assert float(kl) > 0
    assert float(ours.detach()) == pytest.approx(loss, abs=1e-6)
    assert largest_difference(gradients(policy.module), theirs) < 1e-5


# --- groups ---


def experience_of(procedure: OnPolicy) -> Experience:
    """A rollout batch of a policy that is no longer its reference."""
    procedure.step(0)
    kept = capture_experience(procedure)
    procedure.step(1)
    return kept[0]


def given_to_trl(batch: Experience) -> dict[str, torch.Tensor]:
    """What TRL's losses of groups read."""
    rollout, rows = batch.rollout, len(batch.rollout)
    width = rollout.prompt_ids.shape[1]
    return {
        "prompt_ids": rollout.prompt_ids,
        "prompt_mask": rollout.mask[:, :width].long(),
        "completion_ids": rollout.response_ids,
        "completion_mask": rollout.response_mask.long(),
        "advantages": batch.advantages[:, 0],
        "old_per_token_logps": batch.log_probs,
        "ref_per_token_logps": batch.log_probs - batch.log_ratio,
        "old_logps": (batch.log_probs * batch.mask).sum(-1),
        "num_items_in_batch": torch.tensor(rows),
    }


def sampled_pads(module: Any) -> Any:
    """A model whose pad token may be sampled, as in a tiny vocabulary: transformers gives the
    embedding of a pad no gradient, also where it is a token of a response."""
    module.get_input_embeddings().padding_idx = None
    return module


def loss_of_group(their: Any, batch: Experience) -> tuple[float, dict[str, torch.Tensor]]:
    """TRL's loss of a rollout batch, and the gradient that it leaves."""
    their.current_gradient_accumulation_steps = 1
    loss = their._compute_loss(their.model, given_to_trl(batch))
    loss.backward()
    return float(loss.detach()), gradients(their.model)


GROUPS = {
    "grpo": (Aggregate.sequence, Scale.group, KLEstimator.k3, None),
    "bnpo": (Aggregate.token, Scale.none, KLEstimator.weighted_k3, 0.28),
    "dr_grpo": (Aggregate.constant, Scale.none, KLEstimator.weighted_k3, None),
}
"""Their name of the loss: our normalisation of it, scale, estimator of the KL, upper clip."""


@pytest.mark.parametrize("name", GROUPS)
def test_the_grpo_loss_is_that_of_trl(name: str, tmp_path: Path) -> None:
    aggregate, scale, estimator, high = GROUPS[name]
    procedure = tiny(
        "group",
        tmp_path,
        baseline=Baseline.mean,
        scale=scale,
        aggregate=aggregate,
        kl=GroupKLConfig(coef=0.1, place=Place.loss, estimator=estimator),
        clip=GroupClipConfig(ratio=0.01, ratio_high=high),
    )
    batch = experience_of(procedure)
    moved(procedure.policy, 0.01)  # so that ratios are not 1, and some are clipped
    procedure.policy.save(tmp_path / "model")
    divisor = denominator(batch.mask, aggregate, 6)
    rules, runtime = procedure.rules, procedure.runtime
    tokens = int(batch.mask.sum())
    watched, _ = accumulate(rules, procedure.networks, batch, tokens, divisor, 0.1, 1.0, runtime)
    ours = float(watched.policy_loss + 0.1 * watched.kl_loss) / divisor
    assert 0 < float(watched.clipped) < tokens
    options = {
        "loss_type": name,
        "beta": 0.1,
        "epsilon": 0.01,
        "epsilon_high": 0.01 if high is None else high,
        "num_generations": 4,
        "max_completion_length": 6,
        "use_bias_correction_kl": estimator is KLEstimator.weighted_k3,
    }
    module = sampled_pads(AutoModelForCausalLM.from_pretrained(tmp_path / "model"))
    prompts = [{"prompt": prompt} for prompt, *_ in PAIRS]
    reward = [lambda completions, **_: [0.0] * len(completions)]
    their = trainer("GRPO", module, tmp_path / "model", prompts, options, reward_funcs=reward)
    loss, theirs = loss_of_group(their, batch)
    assert ours == pytest.approx(loss, abs=1e-6)
    assert largest_difference(gradients(procedure.policy.module), theirs) < 1e-5


def test_the_rloo_gradient_of_a_first_step_is_that_of_trl(tmp_path: Path) -> None:
    """Its ratio is of whole responses and ours of tokens: at ratio 1 their gradients are equal."""
    procedure = tiny(
        "group",
        tmp_path,
        baseline=Baseline.leave_one_out,
        aggregate=Aggregate.response,
        kl=GroupKLConfig(coef=0.1),
    )
    procedure.step(0)
    kept: list[Experience] = []

    def noting(index: int, experience: Experience | None) -> dict[str, float]:
        assert experience is not None
        kept.append(experience)
        return {}

    procedure._update = noting  # type: ignore[method-assign]
    procedure.step(1)
    (batch,) = kept
    procedure.policy.save(tmp_path / "model")
    rows, tokens = len(batch.rollout), int(batch.mask.sum())
    accumulate(
        procedure.rules, procedure.networks, batch, tokens, rows, 0.1, 1.0, procedure.runtime
    )
    module = sampled_pads(AutoModelForCausalLM.from_pretrained(tmp_path / "model"))
    prompts = [{"prompt": prompt} for prompt, *_ in PAIRS]
    options = {"num_generations": 4, "max_completion_length": 6}
    reward = [lambda completions, **_: [0.0] * len(completions)]
    their = trainer("RLOO", module, tmp_path / "model", prompts, options, reward_funcs=reward)
    _, theirs = loss_of_group(their, batch)
    assert largest_difference(gradients(procedure.policy.module), theirs) < 1e-5
