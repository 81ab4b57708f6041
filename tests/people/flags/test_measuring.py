"""What is said of a guard: its area under the curve, precision and recall, with intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from preflab_people.flags.measuring import auc, measured


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    chance = np.random.default_rng(1)
    scores, flagged = chance.integers(0, 9, 60) / 9, chance.random(60) < 0.3
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[flagged] for b in scores[~flagged]
    ]
    found = auc(scores.tolist(), flagged.tolist(), range(60))
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.low < found.value < found.high


def test_its_interval_covers_the_truth_where_texts_of_a_prompt_are_alike() -> None:
    """400 draws of 40 prompts with four texts each, all of them flagged or none; scores are normal,
    1.5 higher for a flagged text, and nine tenths of their variance are that of the prompt. The
    truth is Phi(1.5 / sqrt(2)), since a pair is of two prompts. 95 % +- 4 points hold it (3.3 are
    three standard deviations), and far fewer where texts count as independent."""
    chance, truth = np.random.default_rng(2), NormalDist().cdf(1.5 / math.sqrt(2))
    right = {"prompts": 0, "texts": 0}
    for _ in range(400):
        units = np.repeat(np.arange(40), 4)
        flagged = (chance.random(40) < 0.3)[units]
        own = math.sqrt(0.9) * chance.normal(size=40)[units]
        scores = own + math.sqrt(0.1) * chance.normal(size=160) + 1.5 * flagged
        for name, some in (("prompts", units.tolist()), ("texts", range(160))):
            found = auc(scores.tolist(), flagged.tolist(), some)
            right[name] += found.low <= truth <= found.high
    assert 0.91 <= right["prompts"] / 400 <= 0.99
    assert right["texts"] / 400 < 0.8


def test_an_area_of_one_is_not_certain() -> None:
    found = auc([0.1] * 20 + [0.9] * 5, [False] * 20 + [True] * 5, range(25))
    assert found.value == found.high == 1.0
    # Five flagged texts say no more than five right answers do: Wilson's lower end of 5 of 5.
    assert found.low == pytest.approx(5 / (5 + 1.96**2), abs=1e-3)
    assert math.isnan(auc([0.1, 0.2], [False, False], range(2)).value)


def test_precision_and_recall_are_those_at_the_threshold() -> None:
    # 20 others, 0.00 to 0.19: a share of 10 % gives rank ceil(0.9 x 21) = 19, the score 0.18, and
    # blocks the one with 0.19. Of four flagged texts three are above it.
    others = [i / 100 for i in range(20)]
    found = measured([*others, 0.5, 0.6, 0.7, 0.1], [False] * 20 + [True] * 4, range(24), 0.1)
    assert (found.flagged, found.others, found.threshold) == (4, 20, 0.18)
    assert found.precision.value == pytest.approx(3 / 4)
    assert found.recall.value == pytest.approx(3 / 4)
    nothing = measured([0.2] * 24, [False] * 20 + [True] * 4, range(24), 0.1)
    assert math.isnan(nothing.precision.value)
    assert nothing.recall.value == 0.0
