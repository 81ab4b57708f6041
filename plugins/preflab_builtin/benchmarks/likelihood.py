"""How likely a policy finds texts, and the evaluators that need no more: multiple choice, and sentences that differ in a word."""

from __future__ import annotations

import math
from collections.abc import Sequence

from preflab import intervals
from preflab.interfaces import Context, Evaluation, Measure, Policy, Subject
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.benchmarks.cases import by_group, choices, sentences
from preflab_builtin.benchmarks.config import Likelihood, MultipleChoiceConfig, SentencePairsConfig
from preflab_builtin.evaluation.likelihood import response_log_probs

CHUNK = 1024
"""Texts that are turned into tokens at a time."""


def log_likelihoods(
    policy: Policy, pairs: Sequence[tuple[str, str]], runtime: Runtime
) -> tuple[list[float], list[int]]:
    """Of each (context, text): log p(text | context) summed over the text's tokens in nats, and their number. No end token is
    counted. An empty context is the end token, after which a text begins in pretraining."""
    tokenizer = policy.tokenizer
    sums: list[float] = []
    counts: list[int] = []
    for start in range(0, len(pairs), CHUNK):
        part = pairs[start : start + CHUNK]
        contexts = [tokenizer.encode(context) or [tokenizer.eos_id] for context, _ in part]
        tokens = [tokenizer.encode(text) for _, text in part]
        asked = [Prompt(str(start + i), context) for i, (context, _) in enumerate(part)]
        rollout = Rollout.from_tokens(tokenizer, asked, contexts, tokens, runtime.device)
        sums += response_log_probs(policy, rollout, 1.0, runtime).double().sum(-1).tolist()
        counts += [len(ids) for ids in tokens]
    return sums, counts


class MultipleChoice:
    """LABEL/PREFIX/accuracy: share of rows whose likeliest answer is a right one (of equally likely ones, the share that is).
    LABEL/PREFIX/mass: mean share of the right answers in the likelihood of all (TruthfulQA's MC2 with likelihood=sum).
    LABEL/chance: the accuracy of guessing."""

    def __init__(self, config: MultipleChoiceConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        self.cases = choices(config)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read every answer once under each prefix."""
        label = self.config.label or self.config.name
        guessed = [sum(case.right) / len(case.right) for case in self.cases]
        measures: dict[str, Measure] = {
            f"{label}/chance": Measure(sum(guessed) / len(guessed), n=len(guessed))
        }
        for name, prefix in self.config.prefixes.items():
            found = self._scores(subject.responder.policy, prefix)
            values = {
                "accuracy": [
                    best_is_right(row, case.right)
                    for row, case in zip(found, self.cases, strict=True)
                ],
                "mass": [
                    right_mass(row, case.right) for row, case in zip(found, self.cases, strict=True)
                ],
            }
            for group, at in by_group(self.cases):
                for metric, column in values.items():
                    measure = intervals.mean([column[i] for i in at])
                    measures[f"{label}/{name}/{metric}{group}"] = intervals.within(
                        measure, 0.0, 1.0
                    )
        return Evaluation(measures)

    def _scores(self, policy: Policy, prefix: str) -> list[list[float]]:
        """The log-likelihood of each answer of each case, as the config measures it."""
        between = self.config.between
        pairs = [
            (prefix + case.prompt, between + answer)
            for case in self.cases
            for answer in case.answers
        ]
        sums, counts = log_likelihoods(policy, pairs, self.runtime)
        a_token = self.config.likelihood is Likelihood.mean
        each = iter([s / max(1, n) if a_token else s for s, n in zip(sums, counts, strict=True)])
        return [[next(each) for _ in case.answers] for case in self.cases]


class SentencePairs:
    """LABEL/PREFIX/first: share of rows whose first sentence is the likeliest, ties shared: 0.5 of two without any preference.
    LABEL/PREFIX/entropy: mean entropy in bits of the sentences' likelihoods among themselves: 1 of two without preference."""

    def __init__(self, config: SentencePairsConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        self.cases = sentences(config)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read every sentence once under each prefix."""
        label, measures = self.config.label or self.config.name, dict[str, Measure]()
        most = math.log2(len(self.config.sentences))
        for name, prefix in self.config.prefixes.items():
            pairs = [(prefix, text) for case in self.cases for text in case.texts]
            sums, _ = log_likelihoods(subject.responder.policy, pairs, self.runtime)
            width = len(self.config.sentences)
            rows = [sums[i : i + width] for i in range(0, len(sums), width)]
            first = [best_is_right(row, [True] + [False] * (width - 1)) for row in rows]
            entropies = [entropy(row) for row in rows]
            for group, at in by_group(self.cases):
                for metric, column, highest in (
                    ("first", first, 1.0),
                    ("entropy", entropies, most),
                ):
                    measure = intervals.mean([column[i] for i in at])
                    measures[f"{label}/{name}/{metric}{group}"] = intervals.within(
                        measure, 0.0, highest
                    )
        return Evaluation(measures)


def shares(log_likelihoods: Sequence[float]) -> list[float]:
    """Likelihoods that add up to 1.

    >>> [round(p, 3) for p in shares([-800.0, -800.0 + math.log(3)])]
    [0.25, 0.75]
    """
    highest = max(log_likelihoods)
    weights = [math.exp(value - highest) for value in log_likelihoods]
    return [weight / sum(weights) for weight in weights]


def best_is_right(log_likelihoods: Sequence[float], right: Sequence[bool]) -> float:
    """1 if the likeliest answer is right, 0 if not; of equally likely ones the share that is.

    >>> best_is_right([-1.0, -2.0], [True, False]), best_is_right([-1.0, -1.0], [True, False])
    (1.0, 0.5)
    """
    best = [
        mark
        for value, mark in zip(log_likelihoods, right, strict=True)
        if value == max(log_likelihoods)
    ]
    return sum(best) / len(best)


def right_mass(log_likelihoods: Sequence[float], right: Sequence[bool]) -> float:
    """Share of the right answers in the likelihood of all.

    >>> round(right_mass([0.0, math.log(2), 0.0], [True, False, True]), 3)
    0.5
    """
    return sum(p for p, mark in zip(shares(log_likelihoods), right, strict=True) if mark)


def entropy(log_likelihoods: Sequence[float]) -> float:
    """Entropy of the shares, in bits.

    >>> entropy([-7.0, -7.0]), round(entropy([0.0, math.log(3)]), 3)
    (1.0, 0.811)
    """
    return -sum(p * math.log2(p) for p in shares(log_likelihoods) if p > 0)
