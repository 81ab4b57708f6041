"""How close texts are to their references: token F1, exact match, BLEU, ROUGE-L, with intervals."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Measure

Metric = Callable[[Sequence[str], Sequence[Sequence[str]]], Measure]
"""(predictions [N], references [N], at least one per prediction) -> a measure."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces (SQuAD, Rajpurkar et al. 2016).

    >>> normalised("The  cat, a dog!")
    'cat dog'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of normalised words, for the best reference; 1 if
    neither text has any words.

    >>> round(token_f1("the red apple", ["a green apple", "pears"]), 2)
    0.5
    """
    return max(
        _f1(normalised(prediction).split(), normalised(reference).split())
        for reference in references
    )


def _f1(words: Sequence[str], wanted: Sequence[str]) -> float:
    if not words or not wanted:
        return float(not words and not wanted)
    common = (Counter(words) & Counter(wanted)).total()
    return 2 * common / (len(words) + len(wanted))


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalised texts are equal for some reference, else 0.

    >>> exact_match("Paris.", ["Lyon", "paris"])
    1.0
    """
    return float(normalised(prediction) in [normalised(reference) for reference in references])


def _mean_of(score: Callable[[str, Sequence[str]], float]) -> Metric:
    def metric(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Measure:
        return _share([score(p, r) for p, r in zip(predictions, references, strict=True)])

    return metric


def _share(values: Sequence[float]) -> Measure:
    return intervals.within(intervals.mean(values), 0.0, 1.0)


def rouge_l(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Measure:
    """Mean F measure of ROUGE-L for the best reference, with stemming (Lin 2004; rouge-score)."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise _missing("rouge_l", "rouge-score") from None
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return _share(
        [
            scorer.score_multi(list(r), p)["rougeL"].fmeasure
            for p, r in zip(predictions, references, strict=True)
        ]
    )


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Measure:
    """Corpus BLEU, 0 to 100, with sacrebleu's standard tokenisation (Post 2018). Its interval
    resamples rows: the n-gram counts of the drawn rows are summed before the geometric mean,
    because BLEU is not a mean over sentences."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise _missing("bleu", "sacrebleu") from None
    metric = BLEU()
    rows = [
        BLEU(effective_order=True).sentence_score(p, list(r))
        for p, r in zip(predictions, references, strict=True)
    ]
    counts = np.array(
        [[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], dtype=np.int64
    )

    def of(total: NDArray[np.int64]) -> float:
        order = metric.max_ngram_order
        result = metric.compute_bleu(
            total[:order].tolist(),
            total[order : 2 * order].tolist(),
            int(total[-2]),
            int(total[-1]),
            smooth_method=metric.smooth_method,
            smooth_value=metric.smooth_value,
            max_ngram_order=order,
        )
        return float(result.score)

    value = of(counts.sum(axis=0))
    if len(rows) == 1:
        return Measure(value, n=1)
    rng = np.random.default_rng(0)
    drawn = [
        of(counts[rng.integers(0, len(rows), len(rows))].sum(axis=0))
        for _ in range(intervals.RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - intervals.LEVEL) / 2, (1 + intervals.LEVEL) / 2])
    return Measure(value, float(low), float(high), len(rows))


def _missing(metric: str, package: str) -> UserError:
    return UserError(
        f"The metric {metric} needs {package}. Install it with: pip install 'preflab[text]'"
    )


METRICS: dict[str, Metric] = {
    "token_f1": _mean_of(token_f1),
    "exact_match": _mean_of(exact_match),
    "rouge_l": rouge_l,
    "bleu": bleu,
}
"""By the names that `preflab evaluate-samples --metric` knows."""
