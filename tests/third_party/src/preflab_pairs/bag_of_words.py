"""A reward model that counts words: Bradley-Terry on a linear score, fitted with scipy. Shapes: P pairs, W words."""

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
from preflab.storage.artifacts import write_json
from scipy.optimize import minimize

from preflab_pairs.config import BagOfWordsConfig

Array = NDArray[np.float64]
FILE = "words.json"


def vocabulary(rankings: Sequence[Ranking], min_count: int) -> list[str]:
    """Words that at least so many responses hold, in alphabetical order."""
    counts = Counter(word for r in rankings for text in r.responses for word in set(text.split()))
    return sorted(word for word, count in counts.items() if count >= min_count)


def features(texts: Sequence[str], words: Sequence[str]) -> Array:
    """How often each word stands in each text, [len(texts), W]; other words count for nothing."""
    places = {word: i for i, word in enumerate(words)}
    found = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        for word in text.split():
            if word in places:
                found[row, places[word]] += 1
    return found


def differences(rankings: Sequence[Ranking], words: Sequence[str]) -> tuple[Array, Array]:
    """Counts of the better minus the worse response of each pair [P, W], and the pairs' weights [P]: 1 a ranking in all."""
    rows, weights = [np.zeros((0, len(words)))], [np.zeros(0)]
    for r in (r for r in rankings if r.preferences):
        counts = features(r.responses, words)
        better, worse = (np.array(side) for side in zip(*r.preferences, strict=True))
        rows.append(counts[better] - counts[worse])
        weights.append(np.full(len(r.preferences), 1 / len(r.preferences)))
    return np.concatenate(rows), np.concatenate(weights)


def loss_and_gradient(w: Array, x: Array, weights: Array, l2: float) -> tuple[float, Array]:
    """Mean over rankings of -log sigmoid(x w) plus l2 / 2 |w|^2, and its gradient [W]."""
    margins, total = x @ w, weights.sum()
    loss = float(weights @ np.logaddexp(0.0, -margins)) / total + 0.5 * l2 * float(w @ w)
    slope = -weights / (1 + np.exp(np.clip(margins, -700, 700)))
    return loss, x.T @ slope / total + l2 * w


class Fitting:
    """`preflab.interfaces.Procedure`: a step is a round of L-BFGS from the weights so far, so that the weights are the state."""

    def __init__(self, config: BagOfWordsConfig, context: Context) -> None:
        self.config = config
        self.total_steps = config.rounds
        self.rankings = [r for r in context.rankings("train") if r.preferences]
        if not self.rankings:
            raise UserError("reward_model=bag_of_words: no ranking for training holds a preference, every one is a tie.")
        self.words = vocabulary(self.rankings, config.min_count)
        self.x, self.pair_weights = differences(self.rankings, self.words)
        self.held_out = differences(context.rankings("validation"), self.words)[0]
        self.w = np.zeros(len(self.words))

    def step(self, index: int) -> Mapping[str, float]:
        """A round. accuracy: share of pairs in the right order."""
        arguments = (self.x, self.pair_weights, self.config.l2)
        options = {"maxiter": self.config.iterations}
        found: Any = minimize(loss_and_gradient, self.w, arguments, method="L-BFGS-B", jac=True, options=options)
        self.w = found.x
        loss, gradient = loss_and_gradient(self.w, *arguments)
        metrics = {"loss/bag_of_words": loss, "grad_norm": float(np.linalg.norm(gradient))}
        metrics["accuracy"] = float((self.x @ self.w > 0).mean())
        return metrics | ({"val/accuracy": float((self.held_out @ self.w > 0).mean())} if len(self.held_out) else {})

    def state_dict(self) -> State:
        """The weights."""
        return {"w": torch.from_numpy(self.w.copy())}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.w = state["w"].numpy().copy()

    def save(self, folder: Path) -> None:
        """The weights by word, and the offset that gives the ranked responses mean score 0."""
        texts = [text for r in self.rankings for text in r.responses]
        offset = float((features(texts, self.words) @ self.w).mean())
        weights = dict(zip(self.words, self.w.tolist(), strict=True))
        write_json(folder / FILE, {"offset": offset, "weights": weights})


class BagOfWords:
    """`preflab.interfaces.RewardModel`. It shows no network: a value function then starts from the policy."""

    def __init__(self, weights: Mapping[str, float], offset: float) -> None:
        self.words, self.offset = list(weights), offset
        self.w = np.array([weights[word] for word in self.words], dtype=np.float64)

    @staticmethod
    def read(folder: Path) -> BagOfWords:
        """What `Fitting.save` wrote."""
        stored = json.loads((folder / FILE).read_text(encoding="utf8"))
        return BagOfWords(stored["weights"], float(stored["offset"]))

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        scores = features(rollout.texts, self.words) @ self.w - self.offset
        return torch.tensor(scores, dtype=torch.float32, device=rollout.prompt_ids.device)
