"""How close texts are to their references. A metric with a published name is that metric.

token F1 and exact match follow SQuAD's rule in every script (`words`); ROUGE is that of rouge-score
with words of every script; BLEU is sacrebleu's, with its own tokenisers by name; the scorers of
SQuAD, DROP and QuAC are in `published`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from preflab.errors import UserError, nearest
from preflab_builtin.evaluation import published
from preflab_builtin.evaluation.config import BLEU_TOKENISERS
from preflab_builtin.evaluation.scored import CorpusScores, Counts, RowScores, Scores
from preflab_builtin.evaluation.words import (
    normalised,
    normalised_words,
    without_spaces,
    words,
)

Row = Callable[[str, Sequence[str]], float]
"""(prediction, its references, at least one) -> a number from 0 to 1."""


class CannotMeasure(UserError):
    """A metric that would not mean what its name says here, or whose package is missing: the
    reason and the cure."""


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of normalised words, for the best reference; 1 if
    neither text has any words.

    >>> round(token_f1("the red apple", ["a green apple", "pears"]), 2), token_f1("北京", ["東京"])
    (0.5, 0.5)
    """
    given = normalised_words(prediction)
    return max(_f1(given, normalised_words(reference)) for reference in references)


def _f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    if not given or not wanted:
        return float(not given and not wanted)
    common = (Counter(given) & Counter(wanted)).total()
    return 2 * common / (len(given) + len(wanted))


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalised texts are equal for some reference, else 0.

    >>> exact_match("Paris.", ["Lyon", "paris"])
    1.0
    """
    return float(normalised(prediction) in [normalised(reference) for reference in references])


class _Words:
    """rouge-score's tokenizer, for every script: words of more than three plain letters are
    stemmed."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stem: Callable[[str], str] = PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        return [self._stem(w) if w.isascii() and len(w) > 3 else w for w in words(text)]


def _rouge(kind: str) -> Callable[[], Row]:
    """F measure of a kind of ROUGE for the best reference, with stemming (Lin 2004; rouge-score).
    Texts without any words, such as "?!", are compared letter by letter."""

    def prepared() -> Row:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise _missing(f"ROUGE ({kind})", "rouge-score") from None
        scorer = RougeScorer([kind], tokenizer=_Words())

        def row(prediction: str, references: Sequence[str]) -> float:
            if not words(prediction):
                return float(prediction.strip() in [text.strip() for text in references])
            return float(scorer.score_multi(list(references), prediction)[kind].fmeasure)

        return row

    return prepared


ROWS: dict[str, Callable[[], Row]] = {
    "token_f1": lambda: token_f1,
    "exact_match": lambda: exact_match,
    "rouge_l": _rouge("rougeL"),
    "rouge_lsum": _rouge("rougeLsum"),
    "rouge_1": _rouge("rouge1"),
    "rouge_2": _rouge("rouge2"),
    "squad_f1": lambda: published.squad_f1,
    "squad_exact": lambda: published.squad_exact,
    "drop_f1": lambda: published.drop_f1,
    "drop_exact": lambda: published.drop_exact,
    "quac_f1": lambda: published.quac_f1,
}
"""Metrics that are means over rows; each is made when asked for, because some need a package."""
METRICS = (*ROWS, "bleu")
"""The names that `preflab evaluate-samples --metric` and evaluators know."""
USUAL = ("token_f1", "exact_match", "rouge_l", "bleu")
"""What is measured where no metric is named."""


def scored(
    metric: str,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str | None = None,
) -> Scores:
    """What a metric says of rows [N]; `CannotMeasure` with the reason and the cure. tokenize: of
    BLEU, by sacrebleu's name; None: 13a, for scripts with spaces."""
    if metric == "bleu":
        return _bleu(predictions, references, tokenize)
    row = ROWS[metric]()
    values = [row(p, r) for p, r in zip(predictions, references, strict=True)]
    return RowScores(values, 0.0, 1.0)


def prepare(metric: str, tokenize: str | None = None) -> None:
    """`CannotMeasure` if a metric lacks its package, before any text is read."""
    if metric == "bleu":
        _bleu_of(tokenize)
    else:
        ROWS[metric]()


def check_bleu(references: Sequence[Sequence[str]], tokenize: str | None) -> None:
    """`CannotMeasure` if BLEU cannot be measured against these references."""
    script = without_spaces(text for row in references for text in row) if not tokenize else ""
    if script:
        cure = {"ja": "ja-mecab or char", "zh": "zh or char", "other": "flores200 or char"}[script]
        raise CannotMeasure(
            "bleu: the references are in a script without spaces, which sacrebleu's tokeniser 13a "
            f"reads as one word a sentence. Name another one: tokenize {cure}."
        )
    _bleu_of(tokenize)


def _bleu_of(tokenize: str | None) -> Any:
    """sacrebleu's BLEU."""
    if tokenize is not None and tokenize not in BLEU_TOKENISERS:
        raise UserError(
            f"bleu: sacrebleu has no tokeniser '{tokenize}'. {nearest(tokenize, BLEU_TOKENISERS)}"
        )
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise _missing("bleu", "sacrebleu") from None
    try:
        return BLEU(tokenize=tokenize or "13a", effective_order=True)
    except (ImportError, RuntimeError) as error:
        extra = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}.get(
            str(tokenize), "sentencepiece"
        )
        reason = " ".join(str(error).split())
        raise CannotMeasure(
            f"bleu: tokenize {tokenize} needs more: pip install '{extra}' ({reason:.120})"
        ) from None
    except OSError as error:  # spm and flores fetch their model at first use
        raise CannotMeasure(
            f"bleu: the model of tokenize {tokenize} cannot be fetched ({error}): choose another "
            "tokeniser, such as char."
        ) from None


def _bleu(
    predictions: Sequence[str], references: Sequence[Sequence[str]], tokenize: str | None
) -> Scores:
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002; Post 2018). Where no prediction has four tokens,
    n-grams up to the longest one count (sacrebleu's effective order): standard BLEU is undefined
    there. Its interval draws rows, because BLEU is not a mean over sentences."""
    check_bleu(references, tokenize)
    metric = _bleu_of(tokenize)
    rows = [metric.sentence_score(p, list(r)) for p, r in zip(predictions, references, strict=True)]
    counts = [[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows]
    order: int = metric.max_ngram_order

    def of(total: Counts) -> float:
        whole = [round(number) for number in total.tolist()]
        result = metric.compute_bleu(
            whole[:order],
            whole[order : 2 * order],
            whole[-2],
            whole[-1],
            smooth_method=metric.smooth_method,
            smooth_value=metric.smooth_value,
            effective_order=True,
            max_ngram_order=order,
        )
        return min(100.0, float(result.score))

    return CorpusScores(np.array(counts, dtype=float).reshape(len(counts), -1), of, 100.0)


def _missing(metric: str, package: str) -> CannotMeasure:
    return CannotMeasure(f"{metric} needs {package}. Install it with: pip install 'preflab[text]'")
