"""Real people differ: of UKPConvArg1, 57,086 votes of 3,394 people, those of a person are predicted
better by slopes of that person, drawn to everybody's, than by everybody's alone. A linear model of
two arguments' difference: it shows what there is to learn, and trains no network."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
FOLDS, GRID = 5, (10.0, 30.0, 100.0, 300.0)
"""Pairs are dealt to folds; GRID: what multiplies the squared distance to everybody's slopes."""


class Votes(NamedTuple):
    """Votes that take a side. features [V, F]: of the argument that won less those of the other;
    labeler [V], fold [V] of the pair."""

    features: Array
    labeler: NDArray[np.str_]
    fold: NDArray[np.int64]


def ukp_folder() -> Path:
    root = os.environ.get("PREFLAB_DATA")
    if root is None:
        pytest.skip("PREFLAB_DATA names no folder of real data")
    return Path(root) / "ukpconvarg1"


def rows(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf8") as lines:
        yield from map(json.loads, lines)


def style(text: str) -> list[float]:
    """Counts of an argument's form."""
    words = re.findall(r"[a-z']+", text.lower())
    n = max(1, len(words))
    return [
        float(np.log(len(text) + 1)),
        float(np.log(len(re.findall(r"[.!?]", text)) + 1)),
        sum(map(len, words)) / n,
        *(float(text.count(sign)) for sign in '?!"'),
        sum(letter.isupper() for letter in text) / max(1, len(text)),
        len(set(words)) / n,
        float(sum(word in ("because", "therefore", "since", "thus", "so") for word in words)),
        sum(word in ("i", "my", "me") for word in words) / n,
        sum(word in ("you", "your") for word in words) / n,
    ]


def read(folder: Path, least: int) -> Votes:
    """The votes of people with so many that take a side."""
    texts = {row["id"]: row["text"] for row in rows(folder / "arguments.jsonl.gz")}
    table = np.array([style(text) for text in texts.values()])
    known = dict(zip(texts, (table - table.mean(0)) / table.std(0), strict=True))
    found = []
    for number, pair in enumerate(rows(folder / "pairs.jsonl.gz")):
        for vote in pair["votes"]:
            if vote["value"] in ("a1", "a2"):
                loser = "a2" if vote["value"] == "a1" else "a1"
                gap = known[pair[vote["value"]]] - known[pair[loser]]
                found.append((gap, vote["labeler"], number * 7919 % 104729 % FOLDS))
    many = Counter(labeler for _, labeler, _ in found)
    gaps, labelers, folds = zip(*(row for row in found if many[row[1]] >= least), strict=True)
    return Votes(np.array(gaps), np.array(labelers), np.array(folds))


def fitted(features: Array, centre: Array, shrink: float) -> Array:
    """Slopes w [F] of the least sum of log(1 + exp(-features @ w)) + shrink |w - centre|^2 / 2."""
    slopes = centre.copy()
    for _ in range(30):
        wrong = expit(-features @ slopes)
        gradient = -features.T @ wrong + shrink * (slopes - centre)
        curve = (features * (wrong * (1 - wrong))[:, None]).T @ features
        step = np.linalg.solve(curve + shrink * np.eye(len(slopes)), gradient)
        slopes = slopes - step
        if np.abs(step).max() < 1e-8:
            break
    return slopes


def losses(votes: Votes, train: NDArray[np.bool_], test: NDArray[np.bool_], shrink: float) -> Array:
    """Log loss of each test vote by its labeler's own slopes, and by everybody's: [2, V], nan
    elsewhere. Everybody's slopes are where the own ones are drawn to."""
    pooled = fitted(votes.features[train], np.zeros(votes.features.shape[1]), 1.0)
    found = np.full((2, len(test)), np.nan)
    for labeler in np.unique(votes.labeler[test]):
        mine = votes.labeler == labeler
        own = fitted(votes.features[train & mine], pooled, shrink)
        at = test & mine
        for i, slopes in enumerate((own, pooled)):
            found[i, at] = np.logaddexp(0, -votes.features[at] @ slopes)
    return found


def held_out(votes: Votes) -> Array:
    """The losses [2, V] of each vote by slopes that have not seen its pair; the shrinkage is chosen
    within the other pairs."""
    found = np.zeros((2, len(votes.fold)))
    for fold in range(FOLDS):
        inner, seen = (fold + 1) % FOLDS, votes.fold != fold
        check = votes.fold == inner
        scores = [np.nanmean(losses(votes, seen & ~check, check, s)[0]) for s in GRID]
        best = GRID[int(np.argmin(scores))]
        test = votes.fold == fold
        found[:, test] = losses(votes, seen, test, best)[:, test]
    return found


def test_slopes_by_hand() -> None:
    # One feature, n wins and no loss, centre 0: n sigma(-w) = shrink w. With n = 4, shrink = 2 and
    # w = ln 2: 4 / 3 against 2 ln 2 = 1.386; the root is a little below.
    (slope,) = fitted(np.ones((4, 1)), np.zeros(1), 2.0)
    assert 4 * expit(-slope) == pytest.approx(2 * slope)
    assert 0.67 < slope < np.log(2)
    (strong,) = fitted(np.ones((4, 1)), np.full(1, 5.0), 1e9)
    assert strong == pytest.approx(5.0)


@pytest.mark.slow
def test_own_slopes_predict_real_people_better() -> None:
    votes = read(ukp_folder(), least=80)
    assert len(np.unique(votes.labeler)) == 81
    own, pooled = held_out(votes)
    people = np.unique(votes.labeler)
    gap = [(own - pooled)[votes.labeler == person] for person in people]
    sums, sizes = np.array([g.sum() for g in gap]), np.array([len(g) for g in gap])
    drawn = np.random.default_rng(0).integers(0, len(people), (2000, len(people)))
    by_people = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(by_people, [0.025, 0.975])
    print(f"log loss {pooled.mean():.4f} -> {own.mean():.4f}, [{low:.4f}, {high:.4f}]")
    assert low < sums.sum() / sizes.sum() < high < 0
