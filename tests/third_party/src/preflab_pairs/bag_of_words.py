"""A reward model that counts words: Bradley-Terry on a linear score, fitted with scipy.

Shapes: P pairs, W words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from preflab.errors import UserError
from preflab.interfaces import Context, State
from preflab.records import Ranking, Rollout
from scipy.optimize import minimize

from preflab_pairs.config import BagOfWordsConfig

Array = NDArray[np.float64]
FILE = "words.json"


def vocabulary(rankings: Sequence[Ranking], min_count: int) -> list[str]:
    """Words that occur in at least ``min_count`` responses, in alphabetical order."""
    counts = Counter(word for r in rankings for text in r.responses for word in set(text.split()))
    return sorted(word for word, count in counts.items() if count >= min_count)


def features(texts: Sequence[str], words: Sequence[str]) -> Array:
    """How often each word occurs in each text, [len(texts), W]; other words are ignored."""
    places = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        for word in text.split():
            if word in places:
                counts[row, places[word]] += 1
    return counts


def differences(rankings: Sequence[Ranking], words: Sequence[str]) -> tuple[Array, Array]:
    """Word counts of the better minus the worse response of each pair [P, W], and weights [P].

    The weights of a ranking's pairs add up to 1.
    """
    rows, weights = [np.zeros((0, len(words)))], [np.zeros(0)]
    for r in (r for r in rankings if r.preferences):
        counts = features(r.responses, words)
        better, worse = (np.array(side) for side in zip(*r.preferences, strict=True))
        rows.append(counts[better] - counts[worse])
        weights.append(np.full(len(r.preferences), 1 / len(r.preferences)))
    return np.concatenate(rows), np.concatenate(weights)


def loss_and_gradient(w: Array, x: Array, weights: Array, l2: float) -> tuple[float, Array]:
    """Mean over rankings of -log sigmoid(x w), plus l2 / 2 |w|^2; and its gradient [W]."""
    margins, total = x @ w, weights.sum()
    loss = float(weights @ np.logaddexp(0.0, -margins)) / total + 0.5 * l2 * float(w @ w)
    slope = -weights / (1 + np.exp(np.clip(margins, -700, 700)))
    return loss, x.T @ slope / total + l2 * w


class Fitting:
    """`preflab.interfaces.Procedure`.

    A step is a round of L-BFGS that starts from the current weights: they are the whole state.
    """

    def __init__(self, config: BagOfWordsConfig, context: Context) -> None:
        self.config = config
        self.total_steps = config.rounds
        self.rankings = [r for r in context.rankings("train") if r.preferences]
        if not self.rankings:
            raise UserError(
                "reward_model=bag_of_words: no ranking for training has a preference, all are ties."
            )
        self.words = vocabulary(self.rankings, config.min_count)
        self.x, self.pair_weights = differences(self.rankings, self.words)
        self.held_out = differences(context.rankings("validation"), self.words)[0]
        self.w = np.zeros(len(self.words))

    def step(self, index: int) -> Mapping[str, float]:
        """Do a round. accuracy: share of pairs in the right order."""
        arguments = (self.x, self.pair_weights, self.config.l2)
        options = {"maxiter": self.config.iterations}
        result: Any = minimize(
            loss_and_gradient, self.w, arguments, method="L-BFGS-B", jac=True, options=options
        )
        self.w = result.x
        loss, gradient = loss_and_gradient(self.w, *arguments)
        metrics = {
            "loss/reward_model": loss,
            "reward_model/grad_norm": float(np.linalg.norm(gradient)),
            "reward_model/accuracy": float((self.x @ self.w > 0).mean()),
        }
        if len(self.held_out):
            accuracy = float((self.held_out @ self.w > 0).mean())
            metrics["reward_model/validation_accuracy"] = accuracy
        return metrics

    def state_dict(self) -> State:
        """The weights."""
        return {"w": torch.from_numpy(self.w.copy())}

    def load_state_dict(self, state: State) -> None:
        """Resume from a state."""
        self.w = state["w"].numpy().copy()

    def save(self, folder: Path) -> None:
        """Write the weights by word, and the offset: the mean score of the ranked responses."""
        texts = [text for r in self.rankings for text in r.responses]
        offset = float((features(texts, self.words) @ self.w).mean())
        weights = dict(zip(self.words, self.w.tolist(), strict=True))
        text = json.dumps({"offset": offset, "weights": weights}, indent=1)
        (folder / FILE).write_text(text, encoding="utf8")


class BagOfWords:
    """`preflab.interfaces.RewardModel`, without a network to start a value function from."""

    def __init__(self, weights: Mapping[str, float], offset: float) -> None:
        self.words, self.offset = list(weights), offset
        self.w = np.array([weights[word] for word in self.words], dtype=np.float64)

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        scores = features(rollout.texts, self.words) @ self.w - self.offset
        return torch.tensor(scores, dtype=torch.float32, device=rollout.prompt_ids.device)


def read(config: BagOfWordsConfig, context: Context) -> BagOfWords:
    """The reward model that `Fitting.save` wrote into the stage's artifact."""
    stored = json.loads((context.folder / FILE).read_text(encoding="utf8"))
    return BagOfWords(stored["weights"], float(stored["offset"]))
