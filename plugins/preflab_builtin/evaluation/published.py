"""The scorers that the authors of SQuAD, DROP and QuAC publish with their sets, rule by rule.

They know English and ASCII punctuation, as the originals do.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

CANNOT = "CANNOTANSWER"
"""QuAC's answer to a question without one."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and double spaces.

    >>> squad_normalised("The U.S.A.,  an  Example!")
    'usa example'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad_exact(prediction: str, references: Sequence[str]) -> float:
    """Exact match of SQuAD 2.0 (Rajpurkar et al. 2018, evaluate-v2.0.py). Without references that
    have words, the question has no answer, and only an empty prediction is right.

    >>> squad_exact("the Paris", ["Paris"]), squad_exact("", []), squad_exact("Paris", [])
    (1.0, 1.0, 0.0)
    """
    return float(squad_normalised(prediction) in map(squad_normalised, _answers(references)))


def squad_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of SQuAD 2.0: of the words in common with the best reference. If either side has no words,
    1 if both have none.

    >>> round(squad_f1("in Paris", ["Paris"]), 3), squad_f1("", []), squad_f1("x", [])
    (0.667, 1.0, 0.0)
    """
    given = squad_normalised(prediction).split()
    return max(_overlap(given, squad_normalised(r).split()) for r in _answers(references))


def _answers(references: Sequence[str]) -> list[str]:
    return [text for text in references if squad_normalised(text)] or [""]


def _overlap(given: Sequence[str], wanted: Sequence[str]) -> float:
    if not given or not wanted:
        return float(not given and not wanted)
    return 2 * (Counter(given) & Counter(wanted)).total() / (len(given) + len(wanted))


def quac_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of QuAC (Choi et al. 2018, scorer.py): the mean over references left out, one at a time,
    of the best F1 with the others, so that people can be compared. Without an answer for at least
    half of the references, only CANNOTANSWER is right; else such references do not count.

    >>> quac_f1("a red house", ["red house", "blue"])  # against "blue": 0, against the other: 1
    0.5
    """
    wanted = quac_references(references)
    values = [_quac_overlap(prediction, reference) for reference in wanted]
    if len(values) == 1:
        return values[0]
    rest = [max(values[:i] + values[i + 1 :]) for i in range(len(values))]
    return sum(rest) / len(rest)


def quac_references(references: Sequence[str]) -> list[str]:
    """The references that count."""
    spans = [text for text in references if text != CANNOT]
    return spans if len(spans) > len(references) - len(spans) else [CANNOT]


def quac_human_f1(references: Sequence[str]) -> float:
    """How well the references agree: the mean of each one's best F1 with another. QuAC leaves out
    questions below 0.4.

    >>> quac_human_f1(["red house", "the red house"]), quac_human_f1(["red", "blue"])
    (1.0, 0.0)
    """
    wanted = quac_references(references)
    if len(wanted) == 1:
        return 1.0
    best = [
        max(_common_f1(text, other) for j, other in enumerate(wanted) if j != i)
        for i, text in enumerate(wanted)
    ]
    return sum(best) / len(best)


def _quac_overlap(prediction: str, reference: str) -> float:
    if reference == CANNOT:
        return float(prediction == CANNOT)
    return _common_f1(prediction, reference)


def _common_f1(prediction: str, reference: str) -> float:
    """SQuAD 1's F1: 0 without a word in common."""
    given, wanted = squad_normalised(prediction).split(), squad_normalised(reference).split()
    common = (Counter(given) & Counter(wanted)).total()
    return 2 * common / (len(given) + len(wanted)) if common else 0.0


def drop_exact(prediction: str, references: Sequence[str]) -> float:
    """Exact match of DROP (Dua et al. 2019, drop_eval.py): the same normalised spans. A prediction
    or reference of several spans has one on each line.

    >>> drop_exact("5", ["5.0"]), drop_exact("Bears\\nLions", ["the Lions\\nBears"])
    (1.0, 1.0)
    """
    return max(float(_spans_are_equal(prediction, text)) for text in references)


def drop_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of DROP: spans are paired one to one so that their F1 of different words is highest; a
    pair whose reference holds numbers counts only if one of them is in the prediction. The mean
    over the longer side, in hundredths, for the best reference.

    >>> drop_f1("4 yards", ["5 yards"]), drop_f1("red cars", ["red vans"])
    (0.0, 0.5)
    """
    return max(_aligned(_bags(prediction), _bags(text)) for text in references)


def _spans(text: str) -> list[str]:
    """Normalised spans, one on each line."""
    return [_drop_normalised(span) for span in text.split("\n")]


def _spans_are_equal(prediction: str, reference: str) -> bool:
    given, wanted = _spans(prediction), _spans(reference)
    return len(given) == len(wanted) and set(given) == set(wanted)


def _bags(text: str) -> list[set[str]]:
    return [set(span.split()) for span in _spans(text)]


def _drop_normalised(text: str) -> str:
    """Word by word, split at spaces and hyphens: lower case, without punctuation (unless it is a
    number), numbers in one form, without articles."""
    parts = [_drop_word(word.lower()) for word in re.split(r" |-", text)]
    return " ".join(part for part in parts if part)


def _drop_word(word: str) -> str:
    plain = word if _is_number(word) else word.translate(_PUNCTUATION)
    plain = str(float(plain)) if _is_number(plain) else plain
    return " ".join(_ARTICLES.sub(" ", plain).split())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _aligned(given: Sequence[set[str]], wanted: Sequence[set[str]]) -> float:
    scores = np.array([[_bag_f1(a, b) for a in given] for b in wanted])
    rows, columns = linear_sum_assignment(-scores)
    total = float(scores[rows, columns].sum()) / max(len(given), len(wanted))
    return round(total, 2)


def _bag_f1(given: set[str], wanted: set[str]) -> float:
    numbers = set(filter(_is_number, wanted))
    if numbers and not numbers & given:
        return 0.0
    common = len(given & wanted)
    precision = common / len(given) if given else 1.0
    recall = common / len(wanted) if wanted else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
