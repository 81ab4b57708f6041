"""Multiple choice and sentence pairs worked out by hand, on a policy that is a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from preflab.functional import token_log_probs
from preflab.interfaces import Measure, Policy, Subject, Tokenizer
from preflab.records import Rollout
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.likeliest import MultipleChoice, SentencePairs, log_likelihoods
from support import FakeContext, cpu_runtime


class Bigrams:
    """A policy whose next token depends only on the last one: ``chances[last][next]``; all other
    tokens share the rest."""

    max_positions = None

    def __init__(self, tokenizer: Tokenizer, chances: Mapping[str, Mapping[str, float]]) -> None:
        self.tokenizer = tokenizer
        size = tokenizer.size
        self.table = torch.full((size, size), 1 / size)
        for last, following in chances.items():
            rest = (1 - sum(following.values())) / (size - len(following))
            at = tokenizer.eos_id if last == "" else tokenizer.encode(last)[0]
            self.table[at] = rest
            for word, chance in following.items():
                self.table[at, tokenizer.encode(word)[0]] = chance

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids, self.tokenizer.size).float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ self.table.log()

    def hidden_at(
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prompt_width: int = 0
    ) -> torch.Tensor:
        return self.hidden(ids, mask)[wanted]

    def log_probs(
        self,
        hidden: torch.Tensor,
        ids: torch.Tensor,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        log_probs = token_log_probs(self.logits(hidden), ids, temperature)
        return log_probs, torch.zeros_like(log_probs)


def _rows(folder: Path, *rows: Mapping[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _subject(context: FakeContext, policy: object = None) -> Subject:
    responder = context.responder("result")
    if policy is not None:
        object.__setattr__(responder, "policy", policy)
    return Subject(responder, Rollout.from_tokens(context.tokenizer, [], [], []), None, None)


def test_log_likelihood_is_summed_over_the_tokens_of_the_text(tmp_path: Path) -> None:
    tokenizer = FakeContext(tmp_path).tokenizer
    policy = Bigrams(
        tokenizer, {"": {"red": 0.5}, "red": {"is": 0.25}, "is": {"bad": 0.1, "good": 0.4}}
    )
    pairs = [("", "red is good"), ("red", "is bad"), ("red is", "good")]
    sums, counts = log_likelihoods(cast(Policy, policy), pairs, cpu_runtime(micro_batch=2))
    # p(red | start) p(is | red) p(good | is); p(is | red) p(bad | is); p(good | is); no end token
    assert sums == pytest.approx(
        [math.log(0.5 * 0.25 * 0.4), math.log(0.25 * 0.1), math.log(0.4)], abs=1e-5
    )
    assert counts == [3, 2, 1]


def test_log_likelihood_of_a_network_is_that_of_its_logits(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    policy = context.policy("base")
    pairs = [("one plus", "two equals three"), ("red", "is good"), ("", "please")]
    sums, _ = log_likelihoods(policy, pairs, context.runtime)
    encode, start = context.tokenizer.encode, context.tokenizer.eos_id
    for (question, text), log_likelihood in zip(pairs, sums, strict=True):
        head, tail = encode(question) or [start], encode(text)
        ids = torch.tensor([head + tail])
        logits = policy.module(input_ids=ids).logits[0].log_softmax(-1).detach()
        expected = sum(float(logits[len(head) - 1 + i, t]) for i, t in enumerate(tail))
        assert log_likelihood == pytest.approx(expected, abs=1e-4)


CHANCES = {
    "one": {"two": 0.4, "three": 0.2, "four": 0.1},
    "red": {"two": 0.1, "three": 0.3},
    "two": {"two": 0.9},
}


def _multiple_choice(
    folder: Path, rows: Sequence[Mapping[str, Any]], **options: Any
) -> Mapping[str, Measure]:
    config = c.MultipleChoiceConfig(path=_rows(folder, *rows), template="{q}", **options)
    context = FakeContext(folder)
    policy = Bigrams(context.tokenizer, CHANCES)
    return MultipleChoice(config, context).evaluate(_subject(context, policy)).measures


def test_multiple_choice_by_hand(tmp_path: Path) -> None:
    rows = [
        # .4 is the highest: right; mass .4 / .7
        {"q": "one", "a": ["two", "three", "four"], "k": 0, "kind": "x"},
        # .3 is the highest: wrong; mass .1 / .4
        {"q": "red", "a": ["two", "three"], "k": 0, "kind": "y"},
    ]
    measures = _multiple_choice(
        tmp_path, rows, choices="a", correct="k", group="kind", label="test"
    )
    assert measures["test/plain/accuracy"].value == 0.5
    assert measures["test/plain/accuracy"].n == 2
    assert measures["test/plain/accuracy/x"].value == 1.0
    assert measures["test/plain/accuracy/y"].value == 0.0
    assert measures["test/plain/mass"].value == pytest.approx((4 / 7 + 1 / 4) / 2, abs=1e-6)
    assert measures["test/chance"].value == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_the_sum_over_tokens_favours_short_answers(tmp_path: Path) -> None:
    # after "one": "four" has log .1, "two two two" log .4 + 2 log .9, as means log .1 and
    # log(.4 * .81) / 3
    rows = [{"q": "one", "yes": ["four"], "no": "two two two"}]
    options: dict[str, Any] = {"right": ["yes"], "wrong": ["no"]}
    measures = _multiple_choice(tmp_path, rows, **options)
    mass = 0.1 / (0.1 + (0.4 * 0.81) ** (1 / 3))
    assert measures["multiple_choice/plain/mass"].value == pytest.approx(mass, abs=1e-6)
    measures = _multiple_choice(tmp_path, rows, **options, likelihood=c.Likelihood.sum)
    mass = 0.1 / (0.1 + 0.4 * 0.81)
    assert measures["multiple_choice/plain/mass"].value == pytest.approx(mass, abs=1e-6)


def test_a_prefix_comes_before_the_question(tmp_path: Path) -> None:
    # The question is empty, so that the answer follows the prefix: after "red" three is likelier,
    # after "one" two is.
    rows = [{"q": "", "a": ["two", "three"], "k": "three"}]
    measures = _multiple_choice(
        tmp_path, rows, choices="a", correct="k", prefixes={"red": "red", "one": "one"}
    )
    assert measures["multiple_choice/red/accuracy"].value == 1.0
    assert measures["multiple_choice/one/accuracy"].value == 0.0


def test_equally_likely_answers_share_the_point(tmp_path: Path) -> None:
    # after "blue" everything is equally likely: one of three is right
    measures = _multiple_choice(
        tmp_path, [{"q": "blue", "a": ["one", "two", "red"], "k": 1}], choices="a", correct="k"
    )
    assert measures["multiple_choice/plain/accuracy"].value == pytest.approx(1 / 3)


def test_sentence_pairs_by_hand(tmp_path: Path) -> None:
    rows = [
        {"more": "one two", "less": "one four", "kind": "a"},  # .4 : .1, shares .8 and .2
        {"more": "red two", "less": "red three", "kind": "b"},  # .1 : .3, shares .25 and .75
        {"more": "blue one", "less": "blue two", "kind": "b"},  # a tie
    ]
    config = c.SentencePairsConfig(
        path=_rows(tmp_path, *rows), sentences=["more", "less"], group="kind", label="s"
    )
    context = FakeContext(tmp_path)
    evaluator = SentencePairs(config, context)
    measures = evaluator.evaluate(_subject(context, Bigrams(context.tokenizer, CHANCES))).measures
    assert measures["s/plain/first"].value == pytest.approx((1 + 0 + 0.5) / 3)
    # -.8 log2 .8 - .2 log2 .2 = .72193; -.25 log2 .25 - .75 log2 .75 = .81128; a tie: 1
    assert measures["s/plain/entropy"].value == pytest.approx((0.72193 + 0.81128 + 1) / 3, abs=1e-4)
    assert measures["s/plain/entropy/a"].value == pytest.approx(0.72193, abs=1e-4)
    assert measures["s/plain/first/b"].value == pytest.approx(0.25)


def test_mc1_counts_the_best_answer_alone(tmp_path: Path) -> None:
    # TruthfulQA's own rule (metrics.py, MC_calcs). After "one": two .4, three .2, four .1.
    rows = [
        # The best answer (three, .2) is likelier than the only wrong one (four, .1), though another
        # right one (two) is likelier still: 1. MC2 (.4 + .2) / .7.
        {"q": "one", "best": "three", "right": "two; three", "wrong": "four"},
        # Here the other right answer is the likeliest, and the best one is less likely than the
        # wrong one: 0, where "some right answer is the likeliest" would be 1. MC2 (.4 + .1) / .7.
        {"q": "one", "best": "four", "right": "two; four", "wrong": "three"},
    ]
    measures = _multiple_choice(
        tmp_path,
        rows,
        best="best",
        right=["right"],
        wrong=["wrong"],
        separator=";",
        likelihood=c.Likelihood.sum,
    )
    assert set(measures) == {
        f"multiple_choice/{name}" for name in ("chance", "plain/mc1", "plain/mc2")
    }
    assert measures["multiple_choice/plain/mc1"].value == 0.5
    mc2 = (0.6 / 0.7 + 0.5 / 0.7) / 2
    assert measures["multiple_choice/plain/mc2"].value == pytest.approx(mc2, abs=1e-5)
    assert measures["multiple_choice/chance"].value == 0.5  # one of best and wrong


def test_a_best_answer_that_is_only_as_likely_as_a_wrong_one_is_not_enough(tmp_path: Path) -> None:
    # After "red" all words but two and three share the rest
    rows = [{"q": "red", "best": "one", "right": "one", "wrong": "four"}]
    measures = _multiple_choice(
        tmp_path, rows, best="best", right=["right"], wrong=["wrong"], likelihood=c.Likelihood.sum
    )
    assert measures["multiple_choice/plain/mc1"].value == 0.0


@pytest.mark.parametrize(
    "label,accuracy", [("up", 1.0), ("down", 0.0), (0, 1.0), ("1", 0.0), ("two", 1.0)]
)
def test_the_same_answers_for_every_row(label: object, accuracy: float, tmp_path: Path) -> None:
    # After "one": two is likelier than three
    options = {"answers": ["two", "three"], "labels": ["up", "down"], "correct": "k"}
    if label == "two":
        options["labels"] = []
    measures = _multiple_choice(tmp_path, [{"q": "one", "k": label}], **options)
    assert measures["multiple_choice/plain/accuracy"].value == accuracy


@pytest.mark.parametrize("label,accuracy", [(True, 1.0), (False, 0.0), ("True", 1.0), (1, 1.0)])
def test_true_and_false_are_labels(label: object, accuracy: float, tmp_path: Path) -> None:
    options = {"answers": ["three", "two"], "labels": ["false", "true"], "correct": "k"}
    measures = _multiple_choice(tmp_path, [{"q": "one", "k": label}], **options)
    assert measures["multiple_choice/plain/accuracy"].value == accuracy


def test_rows_of_one_passage_are_one_unit(tmp_path: Path) -> None:
    rows = [{"q": "one", "a": ["two", "three"], "k": 0, "p": i // 2} for i in range(8)]
    options = {"choices": "a", "correct": "k"}
    apart = _multiple_choice(tmp_path, rows, unit="k2", **options)
    assert apart["multiple_choice/plain/accuracy"].n == 1  # no such column: one prompt is one unit
    together = _multiple_choice(tmp_path, rows, unit="p", **options)
    measure = together["multiple_choice/plain/accuracy"]
    # 4 of 4: Wilson's low end 4 / (4 + 1.96^2) = .5101
    assert (measure.n, measure.value) == (4, 1.0)
    assert measure.low == pytest.approx(0.5101, abs=1e-4)
