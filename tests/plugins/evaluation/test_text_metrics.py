"""Text metrics against values by hand and the libraries' own numbers; their intervals."""

from __future__ import annotations

import math

import pytest

from preflab_builtin.evaluation.text_metrics import (
    METRICS,
    bleu,
    exact_match,
    normalised,
    rouge_l,
    token_f1,
)


def test_normalisation_is_squads() -> None:
    assert normalised("The U.S.A.,  an  Example!") == "usa example"
    assert normalised("anthem the") == "anthem"  # articles are whole words


@pytest.mark.parametrize(
    "prediction,references,f1,exact",
    [
        ("the red apple", ["a red apple"], 1.0, 1.0),  # articles do not count
        ("red apple pie", ["red apple"], 0.8, 0.0),  # precision 2/3, recall 1: 2 * 2 / (3 + 2)
        ("red red apple", ["red apple apple"], 2 / 3, 0.0),  # one red and one apple in common
        ("pear", ["red apple", "a pear"], 1.0, 1.0),  # the best reference counts
        ("pear", ["apple"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),  # no word on either side
        ("", ["apple"], 0.0, 0.0),
    ],
)
def test_token_f1_and_exact_match(
    prediction: str, references: list[str], f1: float, exact: float
) -> None:
    assert token_f1(prediction, references) == pytest.approx(f1)
    assert exact_match(prediction, references) == exact


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    # "police kill the gunman" and "police killed the gunman" have the same stems in the same order:
    # F = 1 (Lin 2004, 3.1). With "the gunman police killed" the longest common subsequence has two
    # words: P = R = F = 1/2.
    references = [["police killed the gunman"]]
    assert rouge_l(["police kill the gunman"], references).value == pytest.approx(1.0)
    assert rouge_l(["the gunman police killed"], references).value == pytest.approx(0.5)
    best_reference = rouge_l(["x", "a b"], [["y", "x"], ["a b"]])
    assert best_reference.value == pytest.approx(1.0)


def test_bleu_is_the_corpus_score_of_sacrebleu() -> None:
    from sacrebleu.metrics.bleu import BLEU

    hypotheses = ["the cat sat on the mat today", "a dog barked at the old man", "it rains"]
    references = [["the cat sat on a mat today"], ["a dog barked at an old man"], ["it is raining"]]
    measure = bleu(hypotheses, references)
    # sacrebleu takes one list of references over the corpus for each position
    score = BLEU().corpus_score(hypotheses, [[r[0] for r in references]]).score
    assert measure.value == pytest.approx(score)
    assert measure.low < measure.value <= measure.high + 1e-9
    assert measure.n == 3


def test_bleu_by_hand() -> None:
    # Eight words of which the last is wrong: n-gram precisions 7/8, 6/7, 5/6, 4/5, whose product
    # is 4/8; no brevity penalty.
    words = "one two three four five six seven"
    measure = bleu([f"{words} eight"], [[f"{words} nine"]])
    assert measure.value == pytest.approx(100 * (4 / 8) ** 0.25)
    assert math.isnan(measure.low)  # one row has no interval


def test_equal_texts_have_the_best_value_and_no_spread() -> None:
    texts = [f"answer number {i} has enough words" for i in range(20)]
    for name, metric in METRICS.items():
        measure = metric(texts, [[text] for text in texts])
        best = pytest.approx(100.0 if name == "bleu" else 1.0)
        assert measure.value == measure.low == measure.high == best, name


def test_intervals_shrink_as_one_over_the_root_of_n() -> None:
    # Half of the answers right: the interval of 400 rows is about half as wide as that of 100.
    def width(count: int) -> float:
        references = [["yes"] if i % 2 else ["no"] for i in range(count)]
        measure = METRICS["exact_match"](["yes"] * count, references)
        return measure.high - measure.low

    assert width(400) / width(100) == pytest.approx(0.5, abs=0.05)
