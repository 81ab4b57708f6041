"""The shared arithmetic against hand-worked values, definitions and enumerated expectations
(float64 where it is exact)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preflab.functional import (
    best_of_n_kl_bound,
    entropy,
    gae,
    kl_estimates,
    masked_mean,
    masked_sum,
    token_log_probs,
    token_rewards,
    whiten,
)

REWARDS, VALUES = [-0.1, 0.2, 1.0], [0.5, 0.4, 0.3]


def double(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def exact(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def all_true(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


def ragged(lengths: list[int], width: int) -> torch.Tensor:
    return torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]


def by_definition(
    rewards: list[float], values: list[float], gamma: float, lam: float
) -> list[float]:
    """A_t = sum over l of (gamma lambda)^l delta_{t+l}, each delta written out."""
    n = len(rewards)
    deltas = [
        rewards[t] + gamma * (values[t + 1] if t + 1 < n else 0.0) - values[t] for t in range(n)
    ]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)]


# --- generalised advantage estimation ---


@pytest.mark.parametrize(
    "lam,advantages",
    [
        # deltas: -.1+.4-.5 = -.2; .2+.3-.4 = .1; 1-.3 = .7
        (0.95, [0.52675, 0.765, 0.7]),  # .7; .1 + .95*.7 = .765; -.2 + .95*.765 = .52675
        (1.0, [0.6, 0.8, 0.7]),  # returns to go 1.1, 1.2, 1.0 less the values
        (0.0, [-0.2, 0.1, 0.7]),  # the deltas themselves
    ],
)
def test_gae_example(lam: float, advantages: list[float]) -> None:
    rewards, values = double([REWARDS]), double([VALUES])
    found, returns = gae(rewards, values, all_true(rewards), 1.0, lam)
    exact(found, double([advantages]))
    exact(returns, double([[a + v for a, v in zip(advantages, VALUES, strict=True)]]))


@settings(max_examples=60)
@given(
    data=st.data(), gamma=st.sampled_from([1.0, 0.9]), lam=st.sampled_from([0.0, 0.5, 0.95, 1.0])
)
def test_gae_is_its_definition_on_ragged_batches(
    data: st.DataObject, gamma: float, lam: float
) -> None:
    width = data.draw(st.integers(1, 7))
    lengths = [1, width, *data.draw(st.lists(st.integers(1, width), max_size=3))]
    numbers = st.floats(-3, 3)
    rows = [data.draw(st.lists(numbers, min_size=2 * width, max_size=2 * width)) for _ in lengths]
    rewards, values = double([r[:width] for r in rows]), double([r[width:] for r in rows])
    mask = ragged(lengths, width)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for i, n in enumerate(lengths):
        expected = by_definition(rewards[i, :n].tolist(), values[i, :n].tolist(), gamma, lam)
        torch.testing.assert_close(advantages[i, :n], double(expected), rtol=1e-10, atol=1e-10)
        exact(returns[i, :n], advantages[i, :n] + values[i, :n])
        assert advantages[i, n:].eq(0).all()
        assert returns[i, n:].eq(0).all()


def test_gae_ignores_what_stands_after_the_end_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(4, 9, generator=generator), torch.randn(4, 9, generator=generator)
    mask = ragged([1, 4, 8, 9], 9)
    clean = gae(rewards, values, mask)
    for noise in (7.0, math.inf, math.nan):
        dirty = gae(torch.where(mask, rewards, noise), torch.where(mask, values, noise), mask)
        assert torch.equal(clean[0], dirty[0])
        assert torch.equal(clean[1], dirty[1])


def test_the_score_stands_on_the_end_token_and_not_one_slot_later() -> None:
    # Score 1 on the end token, the third action: r = (-.1, .2, 1), V = 0 behind it.
    ours, _ = gae(double([REWARDS]), double([VALUES]), torch.ones(1, 3, dtype=torch.bool))
    # The public variant: the score one slot later, where the value is .8. Its advantage at the
    # end token is 0 + .8 - .3 + .95 (1 - .8) = .69: less by (1 - lambda)(s - V) = .05 * .2 = .01.
    theirs, _ = gae(
        double([[-0.1, 0.2, 0.0, 1.0]]),
        double([[0.5, 0.4, 0.3, 0.8]]),
        torch.ones(1, 4, dtype=torch.bool),
    )
    exact(theirs, double([[0.517725, 0.7555, 0.69, 0.2]]))
    assert float(ours[0, 2]) == pytest.approx(0.7, rel=1e-12)
    assert float(ours[0, 2] - theirs[0, 2]) == pytest.approx(0.01, rel=1e-9)


def test_telescoping_with_a_constant_value() -> None:
    # gamma = lambda = 1: A_t + V_t is the sum of the rewards from t on, whatever constant V is.
    mask = ragged([2, 5], 5)
    log_ratio = double([[0.3, -0.2, 9.0, 9.0, 9.0], [0.1, 0.2, -0.4, 0.5, 0.6]])
    scores, beta = double([1.5, -0.7]), 0.2
    rewards = token_rewards(scores, log_ratio, mask, beta)
    _, returns = gae(rewards, torch.full_like(rewards, 3.0), mask, 1.0, 1.0)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    exact(returns[mask], to_go[mask])
    # The whole response: score - beta * log ratio = 1.5 - .2 * .1 and -.7 - .2 * 1.0
    exact(rewards.sum(1), double([1.48, -0.9]))


# --- rewards per token ---


def test_token_rewards_table() -> None:
    # beta .5, log ratio .2 everywhere (so -.1 a token), score 1 in each row; slots after the end
    # hold rubbish. ends in the middle | ends on the last slot | cut at the cap (same place) |
    # ends at once
    mask = ragged([2, 4, 4, 1], 4)
    log_ratio = torch.where(mask, double(0.2), double(99.0))
    scores = double([1.0, 1.0, 0.0, 1.0])  # the cut one has lost its penalty of 1 before
    found = token_rewards(scores, log_ratio, mask, 0.5)
    expected = [
        [-0.1, 0.9, 0, 0],
        [-0.1, -0.1, -0.1, 0.9],
        [-0.1, -0.1, -0.1, -0.1],
        [0.9, 0, 0, 0],
    ]
    exact(found, double(expected))


def test_a_response_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="no token"):
        token_rewards(double([1.0]), double([[0.0]]), torch.tensor([[False]]), 0.1)


# --- KL estimators ---

Q, P = double([0.7, 0.2, 0.1]), double([0.5, 0.3, 0.2])  # policy, reference
EXACT_KL = 0.0851228259572216  # .7 ln 1.4 + .2 ln(2/3) + .1 ln .5


def test_kl_estimators_by_enumeration() -> None:
    k1, k2, k3 = kl_estimates((Q / P).log())
    assert float((Q * k1).sum()) == pytest.approx(EXACT_KL, rel=1e-12)
    assert float((Q * k3).sum()) == pytest.approx(EXACT_KL, rel=1e-12)
    assert float((Q * k2).sum()) == pytest.approx(0.0800875941911351, rel=1e-12)  # biased
    assert (k3 >= 0).all()
    variances = [float((Q * k**2).sum() - (Q * k).sum() ** 2) for k in (k1, k2, k3)]
    assert variances == pytest.approx([0.152929, 0.002951, 0.005761], abs=1e-6)


def test_k3_is_not_the_estimator_with_the_sign_turned() -> None:
    # exp(+lr) - 1 - lr under the policy is chi-square minus KL: .7*1.4 + .2*(2/3) + .1*.5 - 1 -
    # KL = .0782105
    log_ratio = (Q / P).log()
    wrong = float((Q * (log_ratio.exp() - 1 - log_ratio)).sum())
    assert wrong == pytest.approx(0.0782105, abs=1e-7)
    assert abs(float((Q * kl_estimates(log_ratio)[2]).sum()) - wrong) > 0.006


def test_gradients_of_the_estimators_as_losses() -> None:
    # Sampling from the policy without differentiating through it: weights q are constants. E[grad
    # k2] is the gradient of KL(policy || ref), E[grad k3] that of KL(ref || policy), E[grad k1]
    # is 0: none of the three may stand for another.
    logits = Q.log().requires_grad_()
    weights = logits.detach().softmax(0)

    def gradient(value: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(value, logits, retain_graph=True)[0]

    log_q = logits.log_softmax(0)
    k1, k2, k3 = (gradient((weights * k).sum()) for k in kl_estimates(log_q - P.log()))
    forward = gradient((log_q.exp() * (log_q - P.log())).sum())
    backward = gradient((P * (P.log() - log_q)).sum())
    exact(k1, torch.zeros(3, dtype=torch.float64))
    exact(k2, forward)
    exact(k3, backward)
    assert float((forward - backward).abs().max()) > 1e-3


def test_only_k1_in_the_reward_pulls_a_policy_below_its_reference_back() -> None:
    # The reward's own gradient: E[grad log pi * (-k)] with no task reward. Arm 0 is too rare (.1
    # instead of .5); following the gradient must make it likelier. k1 does, k2 and k3 (which are
    # >= 0 wherever pi differs) push it further away.
    logits = double([0.1, 0.9]).log().requires_grad_()
    reference = double([0.5, 0.5])
    log_pi = logits.log_softmax(0)
    pi = log_pi.detach().exp()
    slopes = [
        float(torch.autograd.grad((pi * log_pi * -k).sum(), logits, retain_graph=True)[0][0])
        for k in kl_estimates((log_pi - reference.log()).detach())
    ]
    assert slopes[0] > 0.01
    assert slopes[1] < 0
    assert slopes[2] < 0


# --- means and whitening ---


def test_whitening_example() -> None:
    # x: mean 2/8 = .25; variance (6*.0625 + .0625 + 1.5625)/8 = .25, sigma .5
    x = double([0, 0, 0, 0.5, 0, 0, 0, 1.5])
    kept = whiten(x, all_true(x), shift_mean=False, eps=0.0)
    exact(kept, double([-0.25, -0.25, -0.25, 0.75, -0.25, -0.25, -0.25, 2.75]))
    centred = whiten(x, all_true(x))
    assert float(centred.mean()) == pytest.approx(0, abs=1e-12)
    # Eps 1e-8 beside a variance of .25.
    assert float(centred.var(unbiased=False)) == pytest.approx(1, rel=1e-7)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_masked_whitening_is_whitening_of_what_is_left(shift_mean: bool) -> None:
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = ragged([2, 6, 3], 6)
    found = whiten(torch.where(mask, x, math.nan), mask, shift_mean)
    exact(found[mask], whiten(x[mask], all_true(x[mask]), shift_mean))
    assert found[~mask].eq(0).all()


def told(sums: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the sums over processes come to, one after the other."""
    answers = iter(sums)
    return lambda _: next(answers)


def test_whitening_and_means_over_processes_equal_those_of_the_whole() -> None:
    # Two shares with unequal numbers of tokens, one of them possibly empty: sums are exchanged,
    # never means.
    x = torch.randn(8, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 3
    for cut in (3, 0):
        parts = [x[:cut], x[cut:]]
        masks = [all_true(p) for p in parts]
        count, total = double(8), x.sum()
        mean = total / 8
        # What both processes are told, in the order of asking.
        sums = [
            count,
            total,
            ((x - mean) ** 2).sum(),
        ]
        found = torch.cat(
            [whiten(p, m, reduce=told(sums)) for p, m in zip(parts, masks, strict=True)]
        )
        exact(found, whiten(x, all_true(x)))


def test_one_denominator_and_not_a_mean_of_means() -> None:
    # Token losses {1, 1, 1, 1} and {5}: 9 / 5 = 1.8; the mean of the two means would be 3.
    losses = double([[1, 1, 1, 1], [5, math.nan, math.nan, math.nan]])
    mask = ragged([4, 1], 4)
    assert float(masked_mean(losses, mask)) == pytest.approx(1.8, rel=1e-12)
    assert float(masked_sum(losses, mask)) == pytest.approx(9, rel=1e-12)
    assert float(
        masked_mean(losses[1:], mask[1:], reduce=told([double(9), double(5)]))
    ) == pytest.approx(1.8, rel=1e-12)


def test_masked_sums_send_no_gradient_to_masked_slots() -> None:
    values = double([[1.0, 2.0]]).requires_grad_()
    torch.autograd.backward(masked_sum(values * values, torch.tensor([[True, False]])))
    assert values.grad is not None
    assert values.grad.tolist() == [[2.0, 0.0]]


# --- log-probabilities ---


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_log_probs_are_those_of_the_tempered_softmax(temperature: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = 5 * torch.randn(4, 6, 11, generator=generator)
    ids = torch.randint(11, (4, 6), generator=generator)
    found = token_log_probs(logits, ids, temperature)
    expected = (logits.double() / temperature).log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    if temperature != 1.0:  # the untempered density is another one: the test would notice
        assert float((token_log_probs(logits, ids) - found).abs().max()) > 0.1


def test_token_log_probs_of_low_precision_logits_are_float32() -> None:
    logits = torch.tensor([[16.0, 15.9375]], dtype=torch.bfloat16)
    found = token_log_probs(logits, torch.tensor([0]))
    assert found.dtype == torch.float32
    # log sigmoid(.0625) = -ln(1 + exp(-.0625))
    assert float(found) == pytest.approx(-math.log1p(math.exp(-0.0625)), rel=1e-5)


def test_the_gradient_of_a_log_prob_is_one_hot_minus_softmax() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(5, 7, generator=generator).requires_grad_()
    ids = torch.randint(7, (5,), generator=generator)
    for temperature in (1.0, 0.5):
        (found,) = torch.autograd.grad(token_log_probs(logits, ids, temperature).sum(), logits)
        expected = (
            torch.nn.functional.one_hot(ids, 7) - (logits / temperature).softmax(-1)
        ) / temperature
        torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


def test_log_probs_in_pieces_equal_log_probs_at_once() -> None:
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(5))
    ids = torch.arange(6)
    pieces = torch.cat(
        [
            token_log_probs(a, b)
            for a, b in zip(torch.split(logits, 4), torch.split(ids, 4), strict=True)
        ]
    )
    assert torch.equal(pieces, token_log_probs(logits, ids))


def test_entropy() -> None:
    assert float(entropy(torch.zeros(8))) == pytest.approx(math.log(8), rel=1e-6)
    assert float(entropy(torch.tensor([60.0, 0.0, 0.0]))) == pytest.approx(0, abs=1e-6)
    # Logits ln 4 and 0 at temperature 2: p = (2/3, 1/3); H = ln 3 - (2/3) ln 2
    found = entropy(torch.tensor([math.log(4), 0.0]), temperature=2.0)
    assert float(found) == pytest.approx(math.log(3) - 2 / 3 * math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    "n,bound", [(1, 0.0), (2, 0.193147), (16, 1.835089), (1000, 5.908755), (60000, 10.0021)]
)
def test_kl_bound_of_best_of_n(n: int, bound: float) -> None:
    assert best_of_n_kl_bound(n) == pytest.approx(bound, rel=1e-5)
