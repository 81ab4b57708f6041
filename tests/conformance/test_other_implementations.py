"""Our divergences and densities against an independent implementation: torch.distributions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from preflab.functional import entropy, kl_estimates, token_log_probs

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
