"""Evaluators of which text a policy finds likeliest: multiple choice, and sentences that differ in
a word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from preflab import intervals
from preflab.interfaces import Context, Evaluation, Measure, Policy, Subject
from preflab.records import Prompt, Rollout
from preflab.runtime import Runtime
from preflab_builtin.benchmarks.cases import Choice, Grouped, by_group, choices, sentences
from preflab_builtin.benchmarks.config import Likelihood, MultipleChoiceConfig, SentencePairsConfig
from preflab_builtin.evaluation.forward import batched_log_probs

CHUNK = 1024
"""Texts that are tokenised at a time."""


def log_likelihoods(
    policy: Policy, pairs: Sequence[tuple[str, str]], runtime: Runtime
) -> tuple[list[float], list[int]]:
    """Of each (context, text): log p(text | context) in nats, summed over the tokens of the text,
    and the number of these tokens. The end token is not counted. An empty context is what
    begins a row or, for a model that has no such token, the end token, after which a text begins in
    pretraining."""
    tokenizer = policy.tokenizer
    sums: list[float] = []
    counts: list[int] = []
    for start in range(0, len(pairs), CHUNK):
        part = pairs[start : start + CHUNK]
        asked = [Prompt(str(start + i), context) for i, (context, _) in enumerate(part)]
        contexts = [tokenizer.encode_prompt(prompt) or [tokenizer.eos_id] for prompt in asked]
        tokens = [tokenizer.encode(text) for _, text in part]
        rollout = Rollout.from_tokens(tokenizer, asked, contexts, tokens, runtime.device)
        sums += batched_log_probs(policy, rollout, 1.0, runtime).double().sum(-1).tolist()
        counts += [len(ids) for ids in tokens]
    return sums, counts


class MultipleChoice:
    """LABEL/PREFIX/accuracy: share of rows whose likeliest answer is right (of equally likely
    answers the share that is right). LABEL/PREFIX/mass: mean share of the right answers in the
    likelihood of all answers. LABEL/chance: the accuracy of guessing.

    With a best answer they are TruthfulQA's (Lin et al. 2022), and have its names: mc1, the share
    of rows whose best answer is likelier than every wrong one (other right answers do not count),
    and mc2, which is the mass; chance is that of mc1."""

    def __init__(self, config: MultipleChoiceConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        self.cases = choices(config)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read every answer once under each prefix."""
        label = self.config.label or self.config.name
        guessed = [chance(case) for case in self.cases]
        measures: dict[str, Measure] = {
            f"{label}/chance": Measure(
                sum(guessed) / len(guessed), n=len(guessed), least=0.0, most=1.0
            )
        }
        for name, prefix in self.config.prefixes.items():
            rows = self._log_likelihoods(subject.responder.policy, prefix)
            pairs = list(zip(rows, self.cases, strict=True))
            mass = [right_mass(row, case.right) for row, case in pairs]
            if self.config.best is not None:
                columns = {
                    "mc1": ([best_is_likeliest(row, case) for row, case in pairs], 1.0),
                    "mc2": (mass, 1.0),
                }
            else:
                right = [best_is_right(row, case.right) for row, case in pairs]
                columns = {"accuracy": (right, 1.0), "mass": (mass, 1.0)}
            measures |= means(f"{label}/{name}", columns, self.cases)
        return Evaluation(measures)

    def _log_likelihoods(self, policy: Policy, prefix: str) -> list[list[float]]:
        """Of each answer of each case, summed over its tokens or their mean."""
        between = self.config.between
        pairs = [
            (prefix + case.prompt, between + answer)
            for case in self.cases
            for answer in case.answers
        ]
        sums, counts = log_likelihoods(policy, pairs, self.runtime)
        if self.config.likelihood is Likelihood.mean:
            sums = [total / max(1, n) for total, n in zip(sums, counts, strict=True)]
        each = iter(sums)
        return [[next(each) for _ in case.answers] for case in self.cases]


class SentencePairs:
    """LABEL/PREFIX/first: share of rows whose first sentence is the likeliest; ties are shared, so
    that two sentences without a preference give 0.5. LABEL/PREFIX/entropy: mean entropy in bits of
    the sentences' shares in their likelihood; two sentences without a preference give 1."""

    def __init__(self, config: SentencePairsConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        self.cases = sentences(config)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read every sentence once under each prefix."""
        label, width = self.config.label or self.config.name, len(self.config.sentences)
        measures: dict[str, Measure] = {}
        for name, prefix in self.config.prefixes.items():
            pairs = [(prefix, text) for case in self.cases for text in case.texts]
            sums, _ = log_likelihoods(subject.responder.policy, pairs, self.runtime)
            rows = [sums[i : i + width] for i in range(0, len(sums), width)]
            first = [True] + [False] * (width - 1)
            columns = {
                "first": ([best_is_right(row, first) for row in rows], 1.0),
                "entropy": ([entropy(row) for row in rows], math.log2(width)),
            }
            measures |= means(f"{label}/{name}", columns, self.cases)
        return Evaluation(measures)


def means(
    label: str, columns: Mapping[str, tuple[Sequence[float], float]], cases: Sequence[Grouped]
) -> dict[str, Measure]:
    """LABEL/METRIC and LABEL/METRIC/GROUP: means over the cases. columns: by metric the value of
    each case and the highest possible value; the lowest is 0."""
    measures: dict[str, Measure] = {}
    for group, at in by_group(cases):
        for metric, (column, highest) in columns.items():
            values, units = [column[i] for i in at], [cases[i].unit for i in at]
            measure = intervals.bounded_mean(values, 0.0, highest, units)
            measures[f"{label}/{metric}{group}"] = measure
    return measures


def shares(log_likelihoods: Sequence[float]) -> list[float]:
    """Likelihoods that add up to 1.

    >>> [round(p, 3) for p in shares([-800.0, -800.0 + math.log(3)])]
    [0.25, 0.75]
    """
    highest = max(log_likelihoods)
    weights = [math.exp(value - highest) for value in log_likelihoods]
    return [weight / sum(weights) for weight in weights]


def best_is_right(log_likelihoods: Sequence[float], right: Sequence[bool]) -> float:
    """1 if the likeliest answer is right, else 0; of equally likely answers the share that is.

    >>> best_is_right([-1.0, -2.0], [True, False]), best_is_right([-1.0, -1.0], [True, False])
    (1.0, 0.5)
    """
    highest = max(log_likelihoods)
    best = [mark for p, mark in zip(log_likelihoods, right, strict=True) if p == highest]
    return sum(best) / len(best)


def best_is_likeliest(log_likelihoods: Sequence[float], case: Choice) -> float:
    """1 if the best answer is likelier than every wrong one, else 0 (TruthfulQA's MC1)."""
    assert case.best is not None
    wrong = [p for p, mark in zip(log_likelihoods, case.right, strict=True) if not mark]
    return float(log_likelihoods[case.best] > max(wrong))


def chance(case: Choice) -> float:
    """How often a guess is right; with a best answer: a guess among it and the wrong ones."""
    if case.best is not None:
        return 1 / (1 + len(case.right) - sum(case.right))
    return sum(case.right) / len(case.right)


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
