"""Our losses and divergences against independent implementations: torch.distributions, and TRL
where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from preflab.functional import entropy, kl_estimates, token_log_probs
from preflab.optimization import OptimizerConfig
from preflab.records import Demonstration, Prompt, Ranking
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext, gradients, largest_difference

ARMS = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.floats(-4, 4, width=32), min_size=2 * n, max_size=2 * n)
)


@settings(max_examples=50)
@given(logits=ARMS, temperature=st.sampled_from([1.0, 0.7]))
def test_expected_estimates_and_densities_are_those_of_torch_distributions(
    logits: list[float], temperature: float
) -> None:
    ours, other = torch.tensor(logits).chunk(2)
    policy: Any
    reference: Any
    policy, reference = (Categorical(logits=x / temperature) for x in (ours, other))
    arms = torch.arange(len(ours))
    log_pi, log_ref = (
        token_log_probs(x.expand(len(ours), -1), arms, temperature) for x in (ours, other)
    )
    torch.testing.assert_close(log_pi, policy.log_prob(arms), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy(ours, temperature), policy.entropy(), rtol=1e-5, atol=1e-5)
    exact = float(kl_divergence(policy, reference))
    k1, _, k3 = kl_estimates((log_pi - log_ref).double())
    assert float((policy.probs.double() * k1).sum()) == pytest.approx(exact, abs=2e-5)
    assert float((policy.probs.double() * k3).sum()) == pytest.approx(exact, abs=2e-5)


# --- TRL ---

PAIRS = [
    (" ".join(WORDS[: 1 + i % 4]), " ".join(WORDS[i : i + 1 + i % 3]), "bad " * (1 + i % 5))
    for i in range(8)
]
"""(prompt, chosen, rejected), of different lengths."""


def trainer(kind: str, module: Any, folder: Path, rows: list[dict[str, str]]) -> Any:
    """TRL's trainer of a kind over rows, all of them in one batch. folder: of the model, with its
    tokenizer."""
    trl, datasets = (
        pytest.importorskip(name, reason="the extra trl is not installed")
        for name in ("trl", "datasets")
    )
    # TRL adds the end token as text; our tokenizers read "<eos>" in a text as a word unless they
    # are told otherwise.
    tokenizer = AutoTokenizer.from_pretrained(folder, split_special_tokens=False)
    tokenizer.backend_tokenizer.encode_special_tokens = False
    settings = {
        "per_device_train_batch_size": len(rows),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
    }
    arguments = getattr(trl, f"{kind}Config")(output_dir=str(folder / "trl"), **settings)
    dataset = datasets.Dataset.from_list(rows)
    return getattr(trl, f"{kind}Trainer")(
        model=module, args=arguments, processing_class=tokenizer, train_dataset=dataset
    )


def loss_of(their: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """TRL's loss of its one batch, and the gradient that it leaves."""
    (batch,) = list(their.get_train_dataloader())
    loss = their.compute_loss(their.model, batch)
    loss.backward()
    return float(loss.detach()), gradients(their.model)


def test_the_reward_loss_of_two_answers_is_that_of_trl(tmp_path: Path) -> None:
    rankings = [
        Ranking(Prompt(str(i), q, split="train"), (a, b), ((0, 1),))
        for i, (q, a, b) in enumerate(PAIRS)
    ]
    training = KwiseTraining(
        KwiseConfig(batch=8, optimizer=OptimizerConfig(clip=None)), FakeContext(tmp_path, rankings)
    )
    training.model.save(tmp_path / "model")
    watched = training._gradients(training.examples)
    ours = gradients(training.model.module)
    module = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
    rows = [{"prompt": q, "chosen": f" {a}", "rejected": f" {b}"} for q, a, b in PAIRS]
    loss, theirs = loss_of(trainer("Reward", module, tmp_path / "model", rows))
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
