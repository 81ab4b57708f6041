"""Text metrics against hand-made values, the libraries' own numbers, and what an interval must do."""

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
        (
            "red red apple",
            ["red apple apple"],
            2 / 3,
            0.0,
        ),  # the words are counted: one red and one apple in common
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
    # "police kill the gunman" against "police killed the gunman": stems agree, all 4 words in order: F = 1 (Lin 2004, 3.1);
    # "the gunman police killed": the longest common subsequence has 2 words: P = R = F = 1/2
    assert rouge_l(
        ["police kill the gunman"], [["police killed the gunman"]]
    ).value == pytest.approx(1.0)
    assert rouge_l(
        ["the gunman police killed"], [["police killed the gunman"]]
    ).value == pytest.approx(0.5)
    assert rouge_l(["x", "a b"], [["y", "x"], ["a b"]]).value == pytest.approx(
        1.0
    )  # the best reference


def test_bleu_is_the_corpus_score_and_no_mean_of_sentences() -> None:
    from sacrebleu.metrics.bleu import BLEU

    hypotheses = ["the cat sat on the mat today", "a dog barked at the old man", "it rains"]
    references = [["the cat sat on a mat today"], ["a dog barked at an old man"], ["it is raining"]]
    found = bleu(hypotheses, references)
    # sacrebleu wants references transposed: a list for each place, over the corpus
    assert found.value == pytest.approx(
        BLEU().corpus_score(hypotheses, [[r[0] for r in references]]).score
    )
    assert found.low < found.value <= found.high + 1e-9
    assert found.n == 3


def test_bleu_by_hand() -> None:
    # Eight words of which the last is wrong: n-gram precisions 7/8, 6/7, 5/6, 4/5, no brevity penalty; their product is 4/8.
    words = "one two three four five six seven"
    assert bleu([f"{words} eight"], [[f"{words} nine"]]).value == pytest.approx(
        100 * (4 / 8) ** 0.25
    )
    assert math.isnan(
        bleu([f"{words} eight"], [[f"{words} nine"]]).low
    )  # one row says nothing of others


def test_equal_texts_have_every_metrics_best_value_and_no_spread() -> None:
    texts = [f"answer number {i} has enough words" for i in range(20)]
    for name, metric in METRICS.items():
        found = metric(texts, [[text] for text in texts])
        best = 100.0 if name == "bleu" else 1.0
        assert (found.value, found.low, found.high) == pytest.approx((best, best, best)), name


def test_intervals_shrink_as_one_over_the_root_of_n() -> None:
    # Half of the answers right: the interval of 400 rows is about half as wide as that of 100.
    def width(count: int) -> float:
        found = METRICS["exact_match"](
            ["yes"] * count, [["yes"] if i % 2 else ["no"] for i in range(count)]
        )
        return found.high - found.low

    assert width(400) / width(100) == pytest.approx(0.5, abs=0.05)
