"""What a classifier finds of held-out texts, with 95 % intervals over their prompts. Shapes: N
texts, of which m are flagged and n are not; U units (prompts)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from preflab import intervals
from preflab.interfaces import Measure
from preflab_builtin.guard.calibration import threshold_of


@dataclass(frozen=True)
class Measured:
    """How well one flag is found. flagged, others: how many held-out texts have it, and have it
    not. auc: the probability that a flagged text has a higher score than another one (0.5 is
    chance). threshold: scores above it are blocked; it blocks at most the wanted share of the
    others. precision: of the blocked texts, the share that is flagged (nan if none is blocked);
    recall: of the flagged ones, the share that is blocked."""

    flagged: int
    others: int
    auc: Measure
    threshold: float
    precision: Measure
    recall: Measure


def measured(
    scores: Sequence[float],
    flagged: Sequence[bool],
    units: Sequence[Hashable],
    false_blocks: float,
) -> Measured:
    """Of scores [N]. flagged: whether each text is; units: the prompt of each. ValueError for too
    few others, see `threshold_of`."""
    others = [s for s, is_flagged in zip(scores, flagged, strict=True) if not is_flagged]
    threshold = threshold_of(others, false_blocks)
    blocked = [score > threshold for score in scores]
    hits = [float(b and f) for b, f in zip(blocked, flagged, strict=True)]
    return Measured(
        len(scores) - len(others),
        len(others),
        auc(scores, flagged, units),
        threshold,
        _ratio(hits, blocked, units),
        _ratio(hits, flagged, units),
    )


def _ratio(top: Sequence[float], bottom: Sequence[float], units: Sequence[Hashable]) -> Measure:
    """sum(top) / sum(bottom), with an interval over units."""
    tops, _ = intervals.by_unit(list(top), units)
    bottoms, _ = intervals.by_unit([float(value) for value in bottom], units)
    return intervals.bounded_ratio(tops, bottoms)


def auc(scores: Sequence[float], flagged: Sequence[bool], units: Sequence[Hashable]) -> Measure:
    """The share of pairs of a flagged text and another one in which the flagged one has the higher
    score, ties counted half: the area under the ROC curve. nan if there are no pairs.

    The variance is that of DeLong, DeLong and Clarke-Pearson (1988) with texts of one prompt as one
    cluster (Obuchowski 1997), by ranks (Sun and Xu 2014). The interval is Student's on the scale of
    log-odds, with the freedom of the prompts that hold a flagged text, or another one if these are
    fewer: it covers the truth in 94 to 99 % of draws of 20 to 100 prompts with four texts. An area
    of 0 or 1 has Wilson's interval of as many outcomes, so that it is not certain.

    >>> auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True], "abcd").value
    0.75
    """
    import numpy as np
    from scipy.stats import rankdata

    values, is_flagged = np.asarray(scores, dtype=float), np.asarray(flagged, dtype=bool)
    m, n = int(is_flagged.sum()), int((~is_flagged).sum())
    if not m or not n:
        return Measure(float("nan"), least=0.0, most=1.0)
    ranks, own = rankdata(values), np.empty(len(values))
    own[is_flagged], own[~is_flagged] = rankdata(values[is_flagged]), rankdata(values[~is_flagged])
    wins = np.where(is_flagged, (ranks - own) / n, 1 - (ranks - own) / m)
    area = float(wins[is_flagged].mean())
    parts = (wins - area) / np.where(is_flagged, m, n)
    sums, _ = intervals.by_unit(parts.tolist(), units)
    prompts = [{u for u, f in zip(units, is_flagged, strict=True) if f == side} for side in (0, 1)]
    fewer = min(map(len, prompts))
    return _with_interval(area, float(np.square(sums).sum()), len(sums), fewer)


def _with_interval(area: float, squares: float, prompts: int, fewer: int) -> Measure:
    """squares: sum of squared deviations over prompts; fewer: of the prompts that hold a flagged
    text and of those that hold another one, the lower number."""
    found = Measure(area, n=prompts, least=0.0, most=1.0)
    if area in (0.0, 1.0):
        return intervals.score_interval(found, 0.0, float(fewer))
    if fewer < 2:
        return found
    deviation = math.sqrt(squares * fewer / (fewer - 1)) / (area * (1 - area))
    half, middle = intervals.t_quantile(fewer - 1) * deviation, math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-end)) for end in (middle - half, middle + half))
    return replace(found, low=low, high=high)
