"""Text metrics against values by hand and the libraries' own numbers."""

from __future__ import annotations

import builtins
import random
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.interfaces import Measure
from preflab_builtin.evaluation.text_metrics import (
    METRICS,
    USUAL,
    CannotMeasure,
    exact_match,
    prepare,
    scored,
    token_f1,
)

SCRIPTS = {
    "Latin": "Où est l'île ?",
    "Chinese": "上海是中国最大的城市。",
    "one Chinese letter": "江",
    "Japanese": "東京タワーへ行きました。",
    "Korean": "서울은 수도입니다.",
    "Thai": "กรุงเทพเป็นเมืองหลวง",
    "Lao": "ວຽງຈັນ",
    "Khmer": "ភ្នំពេញ",
    "Burmese": "နေပြည်တော်",
    "Hindi": "दिल्ली राजधानी है।",
    "Tamil": "சென்னை",
    "Arabic": "القاهرة عاصمة مصر؟",
    "Hebrew": "ירושלים",
    "Russian": "Москва — столица.",
    "Greek": "Η Αθήνα;",
    "Georgian": "თბილისი",
    "Amharic": "አዲስ አበባ።",
    "Tibetan": "ལྷ་ས།",
    "emoji": "👍",
    "punctuation": "?!",
}


def _measure(
    metric: str, predictions: list[str], references: list[list[str]], tokenize: str | None = None
) -> Measure:
    rows = range(len(predictions))
    return scored(metric, predictions, references, tokenize).measure(rows, rows)


@pytest.mark.parametrize(
    "prediction,references,f1,exact",
    [
        ("the red apple", ["a red apple"], 1.0, 1.0),  # articles do not count
        ("red apple pie", ["red apple"], 0.8, 0.0),  # precision 2/3, recall 1: 2 * 2 / (3 + 2)
        ("red red apple", ["red apple apple"], 2 / 3, 0.0),  # one red and one apple in common
        ("pear", ["red apple", "a pear"], 1.0, 1.0),  # the best reference counts
        ("pear", ["apple"], 0.0, 0.0),
        ("", ["apple"], 0.0, 0.0),
        ("", [""], 1.0, 1.0),
        ("她住在北京", ["他住在广州"], 0.4, 0.0),  # two of five characters: 2 * 2 / 10
        ("1.5", ["15"], 0.0, 0.0),
    ],
)
def test_token_f1_and_exact_match(
    prediction: str, references: list[str], f1: float, exact: float
) -> None:
    assert token_f1(prediction, references) == pytest.approx(f1)
    assert exact_match(prediction, references) == exact


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("metric", ["token_f1", "exact_match", "rouge_l", "rouge_lsum"])
def test_equal_texts_have_the_best_value_in_every_script(metric: str, script: str) -> None:
    text = SCRIPTS[script]
    assert _measure(metric, [text], [[text]]).value == 1.0
    assert _measure(metric, [text], [["other", text]]).value == 1.0
    assert _measure(metric, ["zzz"], [[text]]).value == 0.0


@pytest.mark.parametrize("metric,kind", [("rouge_l", "rougeL"), ("rouge_1", "rouge1")])
def test_rouge_of_english_is_that_of_rouge_score(metric: str, kind: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    rng = random.Random(1)
    vocabulary = "the cats running ran quickly 42 don't U.S. state-of-the-art , . dogs dog".split()
    scorer = RougeScorer([kind], use_stemmer=True)
    for _ in range(100):
        one, two, three = (" ".join(rng.choices(vocabulary, k=8)) for _ in range(3))
        theirs = scorer.score_multi([two, three], one)[kind].fmeasure
        assert _measure(metric, [one], [[two, three]]).value == pytest.approx(theirs)


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    # "police kill the gunman" and "police killed the gunman" have the same stems in the same order:
    # F = 1 (Lin 2004, 3.1). With "the gunman police killed" the longest common subsequence has two
    # words: P = R = F = 1/2.
    references = [["police killed the gunman"]]
    assert _measure("rouge_l", ["police kill the gunman"], references).value == pytest.approx(1.0)
    assert _measure("rouge_l", ["the gunman police killed"], references).value == 0.5
    # 他住在广州 and 她住在北京 share 住在: 2 of 5 characters on either side
    assert _measure("rouge_l", ["他住在广州"], [["她住在北京"]]).value == pytest.approx(0.4)


def test_bleu_is_the_corpus_score_of_sacrebleu() -> None:
    from sacrebleu.metrics.bleu import BLEU

    hypotheses = ["the cat sat on the mat today", "a dog barked at the old man", "it rains"]
    references = [["the cat sat on a mat today"], ["a dog barked at an old man"], ["it is raining"]]
    measure = _measure("bleu", hypotheses, references)
    # sacrebleu takes one list of references over the corpus for each position
    score = BLEU().corpus_score(hypotheses, [[r[0] for r in references]]).score
    assert measure.value == pytest.approx(score)
    assert measure.low < measure.value <= measure.high + 1e-9
    assert measure.n == 3
    chinese, wanted = ["上海是中国最大的城市。", "长江很长"], ["上海是中国的大城市。", "长江很长"]
    theirs = BLEU(tokenize="zh").corpus_score(chinese, [wanted]).score
    assert _measure("bleu", chinese, [[text] for text in wanted], "zh").value == pytest.approx(
        theirs
    )


def test_bleu_by_hand() -> None:
    # Eight words of which the last is wrong: n-gram precisions 7/8, 6/7, 5/6, 4/5, whose product
    # is 4/8; no brevity penalty.
    words = "one two three four five six seven"
    measure = _measure("bleu", [f"{words} eight"], [[f"{words} nine"]])
    assert measure.value == pytest.approx(100 * (4 / 8) ** 0.25)
    assert measure.low != measure.low  # nan: one row has no interval


def test_bleu_of_short_answers_counts_the_n_grams_that_there_are() -> None:
    # No prediction has four words. One of two words is right: its precision is 1/2, and there are
    # no longer n-grams. sacrebleu's corpus score would be 0.
    assert _measure("bleu", ["Paris"], [["Paris"]]).value == pytest.approx(100.0)
    measure = _measure("bleu", ["Paris", "Rome"], [["Paris"], ["Bern"]])
    assert measure.value == pytest.approx(50.0)
    assert 0 <= measure.low < 50 < measure.high <= 100


def test_bleu_refuses_a_script_that_it_cannot_split() -> None:
    with pytest.raises(CannotMeasure, match="Name another one: tokenize zh or char"):
        _measure("bleu", ["北京"], [["北京"]])
    with pytest.raises(CannotMeasure, match="tokenize ja-mecab or char"):
        _measure("bleu", ["東京です"], [["東京です"]])
    with pytest.raises(CannotMeasure, match="tokenize flores200 or char"):
        _measure("bleu", ["กรุงเทพ"], [["กรุงเทพ"]])
    with pytest.raises(UserError, match=r"no tokeniser 'zn'.*Did you mean 'zh'"):
        _measure("bleu", ["北京"], [["北京"]], "zn")
    assert _measure("bleu", ["北京"], [["北京"]], "char").value == pytest.approx(100.0)


def test_an_interval_does_not_shrink_to_nothing() -> None:
    # 20 of 20 equal texts: Wilson's low end, 20 / (20 + 1.96^2) = .8389; 0 of 20: 1 - .8389
    texts = [f"answer number {i} has enough words" for i in range(20)]
    for metric in USUAL:
        scale = 100.0 if metric == "bleu" else 1.0
        right = _measure(metric, texts, [[text] for text in texts])
        assert right.value == right.high == pytest.approx(scale)
        assert right.low == pytest.approx(0.8389 * scale, abs=1e-4 * scale)
        wrong = _measure(metric, ["x"] * 20, [[text] for text in texts])
        assert wrong.value == wrong.low == 0.0
        assert wrong.high == pytest.approx(0.1611 * scale, abs=1e-4 * scale)


def test_intervals_shrink_as_one_over_the_root_of_n() -> None:
    # Half of the answers right: the interval of 400 rows is about half as wide as that of 100.
    def width(metric: str, count: int) -> float:
        references = [["yes"] if i % 2 else ["no"] for i in range(count)]
        measure = _measure(metric, ["yes"] * count, references)
        return measure.high - measure.low

    for metric in ("exact_match", "bleu"):
        assert width(metric, 400) / width(metric, 100) == pytest.approx(0.5, abs=0.06)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def absent(name: str, *arguments: Any) -> Any:
        if name.startswith(("rouge_score", "sacrebleu")):
            raise ImportError(name)
        return found(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", absent)
    for metric in METRICS:
        if metric.startswith(("rouge", "bleu")):
            with pytest.raises(CannotMeasure, match=r"pip install 'preflab\[text\]'"):
                prepare(metric)
        else:
            prepare(metric)
