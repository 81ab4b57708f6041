"""DPO through the real engine arrives at the optimum that is known in closed form.

Its minimum over Bradley-Terry verdicts of a reward r is pi* = ref exp(r / beta) / Z (Rafailov et
al. 2023, equation 4), which PPO reaches too (test_closed_form.py). Pairs say nothing of responses
that stand in none of them, so that pi* is compared within the responses that do.
"""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch

from conformance.engine import engine
from conformance.test_closed_form import BETA, SENTENCES, log_probs, reference
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import FolderSource

SCORES = {"a": -1.0, "b": -0.25, "a b": 1.0}
"""Responses of one token or two, and an end token."""
VERDICTS = 100
"""On each pair of responses after each prompt."""


def among(policy: CausalPolicy, prompt: str) -> torch.Tensor:
    """log pi of each of the responses, given that it is one of them."""
    encode, end = policy.tokenizer.encode, policy.tokenizer.eos_id
    return log_probs(policy, prompt, [(*encode(text), end) for text in SCORES]).log_softmax(0)


def rows() -> list[dict[str, str]]:
    """Each pair as often either way round as Bradley-Terry has it, in hundredths."""
    found = []
    for prompt in SENTENCES.prompts:
        for better, worse in permutations(SCORES, 2):
            chance = torch.tensor(SCORES[better] - SCORES[worse]).sigmoid()
            row = {"prompt": prompt, "chosen": better, "rejected": worse, "split": "train"}
            found += [row] * round(VERDICTS * float(chance))
    return found


@pytest.mark.slow
@pytest.mark.reliability  # 36,000 pairs: make conformance and make reliability run it
def test_dpo_reaches_the_closed_form(tmp_path: Path) -> None:
    start = reference(SENTENCES)
    start.save(tmp_path / "reference")
    lines = [json.dumps(row) + "\n" for row in rows()]
    (tmp_path / "rankings.jsonl").write_text("".join(lines))
    seen = engine(
        tmp_path,
        "data=files",
        f"data.rankings={tmp_path / 'rankings.jsonl'}",
        "filters=none",
        "policy=pretrained",
        f"policy.path={tmp_path / 'reference'}",
        "sft=none",
        "reward_model=none",
        "evaluation=none",
        "runtime.micro_batch=600",
        "algorithm=dpo",
        f"algorithm.beta={BETA}",
        "algorithm.epochs=60",
        "algorithm.batch=600",  # all pairs, so that no step is of chance
        "algorithm.optimizer.lr=0.005",
    )
    policy = FolderSource(seen.artifacts["algorithm"] / "model").create(torch.Generator())
    worth = torch.tensor(list(SCORES.values()), dtype=torch.float64)
    for prompt in SENTENCES.prompts:
        best = (among(start, prompt) + worth / BETA).softmax(0)
        far = 0.5 * float((among(start, prompt).exp() - best).abs().sum())
        left = 0.5 * float((among(policy, prompt).exp() - best).abs().sum())
        assert far > 0.2
        assert left < 0.02
