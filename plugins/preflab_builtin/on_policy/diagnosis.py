"""Why an engine's log-probabilities are not the policy's: what can be told from a few rows by
computing what the engine would have said, had it made one of the usual mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from preflab.interfaces import Policy
from preflab.likelihood import response_log_probs
from preflab.records import Rollout
from preflab_builtin.on_policy.experience import Experience, Networks

ROWS = 8
"""Rows that are looked at: those that are furthest off."""
EXPLAINED = 0.2
"""A mistake explains a difference of which it leaves less than this share."""
TEMPERATURES = tuple(2 ** (n / 4) for n in range(-10, 11))
"""Times the run's: 0.18 to 5.7."""


def cause_of(
    experience: Experience,
    networks: Networks,
    temperature: float,
    mean: float,
    agreed: float | None,
) -> str:
    """The likely cause of a mean difference, in a sentence or two. agreed: a far smaller mean
    difference that the run had before; None: it had none."""
    apart = ((experience.log_probs - _sampled(experience.rollout)).abs() * experience.mask).sum(-1)
    worst = apart.argsort(descending=True)[:ROWS].tolist()
    rows = experience.rollout.rows(worst)
    before = _mean_difference(rows, experience.rows(worst).log_probs)
    policy, reference = networks.policy, networks.reference
    with torch.no_grad():
        factor, left = _best_temperature(policy, rows, temperature)
        if left < EXPLAINED * before:
            return (
                f"They fit a temperature of {factor * temperature:.2g}, and the run's is "
                f"{temperature:g}: look at the temperature that the engine samples with, and at "
                "whether its log-probabilities are those after the temperature."
            )
        if reference is not None:
            left = _mean_difference(rows, response_log_probs(reference, rows, temperature))
            if left < EXPLAINED * before:
                return (
                    "They are those of the weights that the KL is measured against: the engine "
                    "samples from weights that were not refreshed since training began."
                )
        if (other := _other_row(policy, experience.rollout, worst, temperature)) is not None:
            first, second = (experience.rollout.prompts[i].id for i in other)
            return (
                f"The response to prompt {first!r} has the probabilities of one to {second!r}: "
                "rows are swapped. Look at the order in which the engine's answers are matched to "
                "requests."
            )
    if agreed is not None:
        return (
            f"Earlier in this run they were {agreed:.2g} apart: the engine samples from weights "
            "that were not refreshed, or not all of them (a tied output matrix, adapters). Look at "
            "how it takes the policy's weights."
        )
    return (
        "No other temperature, no earlier weights and no other row explain it: look for noise in "
        "the engine's numbers: a quantised model, a narrow number format, another model or "
        "architecture, dropout, or sampling that is cut (top-k, top-p, penalties)."
    )


def _sampled(rollout: Rollout) -> torch.Tensor:
    assert rollout.log_probs is not None
    return rollout.log_probs


def _mean_difference(rows: Rollout, log_probs: torch.Tensor) -> float:
    """Mean |difference| per token between what the engine said of some rows and log-probs of
    them."""
    mask = rows.response_mask
    return float((log_probs - _sampled(rows)).abs()[mask].mean())


def _best_temperature(policy: Policy, rows: Rollout, temperature: float) -> tuple[float, float]:
    """The factor on the temperature with which the policy is closest to what the engine said, and
    what difference is left."""

    def left(factor: float) -> float:
        return _mean_difference(rows, response_log_probs(policy, rows, temperature * factor))

    best = min(TEMPERATURES, key=left)
    best = _narrowed(left, best * 2**-0.25, best * 2**0.25)
    return best, left(best)


def _narrowed(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls and then rises is least, by thirds, to 0.1 %."""
    while high / low > 1.001:
        third = (high / low) ** (1 / 3)
        a, b = low * third, high / third
        low, high = (low, b) if f(a) < f(b) else (a, high)
    return math.sqrt(low * high)


def _other_row(
    policy: Policy, rollout: Rollout, worst: list[int], temperature: float
) -> tuple[int, int] | None:
    """A pair of rows of which the first has the response, with its log-probs, of the second's
    prompt; None if there is no such pair among the worst ones."""
    tokens, said = rollout.tokens(), rollout.drawn_by()
    assert said is not None
    pairs = [(i, j) for i in worst for j in worst if tokens[i][0] != tokens[j][0]]
    if not pairs:
        return None
    crossed = Rollout.from_tokens(
        policy.tokenizer,
        [rollout.prompts[j] for _, j in pairs],
        [tokens[j][0] for _, j in pairs],
        [tokens[i][1] for i, _ in pairs],
        rollout.response_ids.device,
        [rollout.texts[i] for i, _ in pairs],
        log_probs=[said[i] for i, _ in pairs],
    )
    own = Rollout.rows(rollout, [i for i, _ in pairs])
    gaps = [
        (response_log_probs(policy, rows, temperature) - _sampled(rows)).abs().sum(-1)
        for rows in (crossed, own)
    ]
    explained = (gaps[0] < EXPLAINED * gaps[1]).nonzero().flatten().tolist()
    return pairs[min(explained, key=lambda n: float(gaps[0][n]))] if explained else None
