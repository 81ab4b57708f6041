"""The evaluators of test sets against values worked out by hand, on policies and answers that are tables."""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from preflab.errors import UserError
from preflab.functional import token_log_probs
from preflab.interfaces import Measure, Policy, Sampling, Subject, Tokenizer
from preflab.records import Prompt, Rollout
from preflab.rows import hub
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.cases import by_group, choices, questions, sentences
from preflab_builtin.benchmarks.generation import Generation
from preflab_builtin.benchmarks.inspecting import inspect_questions
from preflab_builtin.benchmarks.likeliest import MultipleChoice, SentencePairs, log_likelihoods
from preflab_builtin.rewards.config import ContainsConfig
from support import FakeContext, cpu_runtime


class Bigrams:
    """A policy under which the next token depends on the last one alone: ``chances[last][next]``; all others share the rest."""

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
        self, ids: torch.Tensor, mask: torch.Tensor, wanted: torch.Tensor, prefix: int = 0
    ) -> torch.Tensor:
        return self.hidden(ids, mask)[wanted]

    def log_probs(
        self,
        hidden: torch.Tensor,
        ids: torch.Tensor,
        temperature: float = 1.0,
        with_entropy: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = token_log_probs(self.logits(hidden), ids, temperature)
        return found, torch.zeros_like(found)


class Answers:
    """A rollout engine that answers from a table of prompts."""

    sampling = Sampling(8)

    def __init__(self, table: Mapping[str, str]) -> None:
        self.table, self.asked = table, list[str]()

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        assert sampling.temperature == 0
        self.asked += [p.text for p in prompts]
        return Rollout.from_texts(policy.tokenizer, prompts, [self.table[p.text] for p in prompts])


def _rows(folder: Path, *rows: Mapping[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _subject(context: FakeContext, policy: object = None) -> Subject:
    responder = context.responder("result")
    if policy is not None:
        object.__setattr__(responder, "policy", policy)
    return Subject(responder, Rollout.from_tokens(context.tokenizer, [], [], []), None, None)


# --- likelihood --------------------------------------------------------------------------------------------------


def test_log_likelihood_is_the_sum_over_the_tokens_of_the_text_alone(tmp_path: Path) -> None:
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


def test_log_likelihood_of_a_network_is_what_its_logits_say(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    policy = context.policy("base")
    pairs = [("one plus", "two equals three"), ("red", "is good"), ("", "please")]
    sums, _ = log_likelihoods(policy, pairs, context.runtime)
    for (question, text), found in zip(pairs, sums, strict=True):
        head, tail = (
            context.tokenizer.encode(question) or [context.tokenizer.eos_id],
            context.tokenizer.encode(text),
        )
        ids = torch.tensor([head + tail])
        logits = policy.module(input_ids=ids).logits[0].log_softmax(-1).detach()
        assert found == pytest.approx(
            sum(float(logits[len(head) - 1 + i, t]) for i, t in enumerate(tail)), abs=1e-4
        )


# --- multiple choice ---------------------------------------------------------------------------------------------


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
        {
            "q": "one",
            "a": ["two", "three", "four"],
            "k": 0,
            "kind": "x",
        },  # .4 is the highest: right; mass .4 / .7
        {
            "q": "red",
            "a": ["two", "three"],
            "k": 0,
            "kind": "y",
        },  # .3 is the highest: wrong; mass .1 / .4
    ]
    found = _multiple_choice(tmp_path, rows, choices="a", correct="k", group="kind", label="test")
    assert found["test/plain/accuracy"].value == 0.5
    assert found["test/plain/accuracy"].n == 2
    assert found["test/plain/accuracy/x"].value == 1.0
    assert found["test/plain/accuracy/y"].value == 0.0
    assert found["test/plain/mass"].value == pytest.approx((4 / 7 + 1 / 4) / 2, abs=1e-6)
    assert found["test/chance"].value == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_the_mean_over_tokens_favours_no_short_answer_and_the_sum_does(tmp_path: Path) -> None:
    # after "one": "three" has log .2, "two two two" log .4 + 2 log .9; as means log .2 and log(.4 * .81) / 3.
    rows = [{"q": "one", "yes": ["four"], "no": "two two two"}]
    a_token = _multiple_choice(tmp_path, rows, right=["yes"], wrong=["no"])
    assert a_token["multiple_choice/plain/mass"].value == pytest.approx(
        0.1 / (0.1 + (0.4 * 0.81) ** (1 / 3)), abs=1e-6
    )
    whole = _multiple_choice(
        tmp_path, rows, right=["yes"], wrong=["no"], likelihood=c.Likelihood.sum
    )
    assert whole["multiple_choice/plain/mass"].value == pytest.approx(
        0.1 / (0.1 + 0.4 * 0.81), abs=1e-6
    )


def test_a_prefix_stands_before_the_question(tmp_path: Path) -> None:
    # The question is empty, so that the answer follows the prefix: after "red" three is likelier, after "one" two is.
    rows = [{"q": "", "a": ["two", "three"], "k": "three"}]
    found = _multiple_choice(
        tmp_path, rows, choices="a", correct="k", prefixes={"red": "red", "one": "one"}
    )
    assert (
        found["multiple_choice/red/accuracy"].value,
        found["multiple_choice/one/accuracy"].value,
    ) == (1.0, 0.0)


def test_equally_likely_answers_share_the_point(tmp_path: Path) -> None:
    # after "blue" everything is equally likely: one of three is right
    found = _multiple_choice(
        tmp_path, [{"q": "blue", "a": ["one", "two", "red"], "k": 1}], choices="a", correct="k"
    )
    assert found["multiple_choice/plain/accuracy"].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("said", [1, "1", "two", [0, 1]])
def test_the_right_one_is_said_in_any_way(said: object, tmp_path: Path) -> None:
    path = _rows(tmp_path, {"q": {"text": "why"}, "a": ["one", "two"], "k": said})
    (case,) = choices(
        c.MultipleChoiceConfig(path=path, template="Q: {q.text}?", choices="a", correct="k")
    )
    assert (case.prompt, case.answers, case.right) == ("Q: why?", ("one", "two"), (False, True))


# --- sentences ---------------------------------------------------------------------------------------------------


def test_sentence_pairs_by_hand(tmp_path: Path) -> None:
    rows = [
        {
            "more": "one two",
            "less": "one four",
            "kind": "a",
        },  # .4 : .1 after "one": shares .8 and .2
        {"more": "red two", "less": "red three", "kind": "b"},  # .1 : .3: shares .25 and .75
        {"more": "blue one", "less": "blue two", "kind": "b"},  # a tie
    ]
    config = c.SentencePairsConfig(
        path=_rows(tmp_path, *rows), sentences=["more", "less"], group="kind", label="s"
    )
    context = FakeContext(tmp_path)
    evaluator = SentencePairs(config, context)
    found = evaluator.evaluate(_subject(context, Bigrams(context.tokenizer, CHANCES))).measures
    assert found["s/plain/first"].value == pytest.approx((1 + 0 + 0.5) / 3)
    # -.8 log2 .8 - .2 log2 .2 = .72193; -.25 log2 .25 - .75 log2 .75 = .81128; a tie: 1
    assert found["s/plain/entropy"].value == pytest.approx((0.72193 + 0.81128 + 1) / 3, abs=1e-4)
    assert found["s/plain/entropy/a"].value == pytest.approx(0.72193, abs=1e-4)
    assert found["s/plain/first/b"].value == pytest.approx(0.25)


# --- generation --------------------------------------------------------------------------------------------------

QUESTIONS = [
    {"question": "one plus one", "answers": {"text": ["two", "is two"]}, "kind": "sums"},
    {"question": "red is", "answers": {"text": ["blue"]}, "kind": "colours"},
]
TABLE = {
    "one plus one": "two\nand so on",
    "red is": "good good",
    "please one plus one": "two please",
    "please red is": "blue",
}


def _generation(folder: Path, **options: Any) -> tuple[Mapping[str, Measure], Answers]:
    engine = Answers(TABLE)
    context = FakeContext(folder, engine=cast(Any, engine), vocabulary=None)
    config = c.GenerationConfig(
        path=_rows(folder, *QUESTIONS), template="{question}", label="qa", **options
    )
    return Generation(config, context).evaluate(_subject(context)).measures, engine


def test_answers_are_cut_at_the_stop_and_compared_with_every_reference(tmp_path: Path) -> None:
    metrics = [c.TextMetric.token_f1, c.TextMetric.exact_match]
    prefixes = {"plain": "", "polite": "please "}
    found, engine = _generation(
        tmp_path, references=["answers.text"], metrics=metrics, prefixes=prefixes, group="kind"
    )
    assert engine.asked == list(TABLE)
    # plain: "two" is a reference, "good good" shares no word with "blue"; polite: "two please" against "two" has precision
    # 1/2 and recall 1, F1 2/3, and "blue" is right
    assert found["qa/plain/token_f1"].value == 0.5
    assert found["qa/plain/exact_match/sums"].value == 1.0
    assert found["qa/polite/token_f1"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found["qa/polite/exact_match"].value == 0.5
    assert found["qa/plain/tokens"].value == 6.0  # bytes: 3 of "two", 9 of "good good"


def test_scorers_read_the_response_and_count_from_a_threshold(tmp_path: Path) -> None:
    scorers = {"kind": ContainsConfig(words=["please", "two"])}
    found, _ = _generation(
        tmp_path, scorers=scorers, threshold=0.6, prefixes={"plain": "", "polite": "please "}
    )
    # of the two words "two" holds one, "good good" none; "two please" both, "blue" none
    assert (found["qa/plain/kind"].value, found["qa/polite/kind"].value) == (0.25, 0.5)
    assert (found["qa/plain/kind_share"].value, found["qa/polite/kind_share"].value) == (0.0, 0.5)


def test_bleu_and_rouge_are_those_of_stored_samples(tmp_path: Path) -> None:
    from preflab_builtin.evaluation.text_metrics import METRICS

    metrics = [c.TextMetric.bleu, c.TextMetric.rouge_l]
    found, _ = _generation(tmp_path, references=["answers.text"], metrics=metrics)
    for metric in ("bleu", "rouge_l"):
        assert found[f"qa/plain/{metric}"] == METRICS[metric](
            ["two", "good good"], [["two", "is two"], ["blue"]]
        )


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row,said",
    [
        ({"q": "x", "a": ["one", "two"]}, "rows.jsonl:2: k: is not a column"),
        ({"q": None, "a": ["one", "two"], "k": 0}, "rows.jsonl:2: q: is null"),
        ({"q": 3.5, "a": ["one", ""], "k": 0}, r"rows.jsonl:2: a\[1\]: is empty"),
        (
            {"q": "x", "a": ["one", "two"], "k": 2},
            "k: is 2 but must be 0 to 1: there are 2 choices",
        ),
        (
            {"q": "x", "a": ["one", "two"], "k": "three"},
            "k: is 'three' but must be a number from 0",
        ),
        ({"q": "x", "a": ["one", "two"], "k": True}, "k: is true or false but must be a number"),
        (
            {"q": "x", "a": ["one", "two"], "k": [1]},
            "k: must hold a 0 or 1 for each of the 2 choices",
        ),
        ({"q": "x", "a": ["one", "two"], "k": [1, 1]}, "k: makes every answer right"),
        ({"q": ["x"], "a": ["one", "two"], "k": 1}, "q: is a list but must be a text"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_field(
    row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = _rows(tmp_path, {"q": "fine", "a": ["one", "two"], "k": 1}, row)
    with pytest.raises(UserError, match=said):
        choices(c.MultipleChoiceConfig(path=path, template="{q}", choices="a", correct="k"))


def test_columns_of_right_and_wrong_answers_are_split_and_must_differ(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        'Question,Correct Answers,Incorrect Answers\nWhy?,one; two ,"three; four; three"\n'
    )
    options: dict[str, Any] = {
        "template": "{Question}",
        "right": ["Correct Answers"],
        "wrong": ["Incorrect Answers"],
    }
    (case,) = choices(c.MultipleChoiceConfig(path=str(path), separator=";", **options))
    assert case.answers == ("one", "two", "three", "four")
    assert case.right == (True, True, False, False)
    path.write_text("Question,Correct Answers,Incorrect Answers\nWhy?,one; two,two\n")
    with pytest.raises(
        UserError,
        match=r"truth.csv:2: Incorrect Answers: holds 'two', which is among the right answers",
    ):
        choices(c.MultipleChoiceConfig(path=str(path), separator=";", **options))


def test_equal_sentences_and_a_misspelt_column_are_refused(tmp_path: Path) -> None:
    path = _rows(tmp_path, {"sent_more": "a", "sent_less": "a"})
    with pytest.raises(UserError, match=r"rows.jsonl:1: sent_less: is the same sentence"):
        sentences(c.SentencePairsConfig(path=path))
    with pytest.raises(UserError, match=r"sent_mor: is not a column.*Did you mean 'sent_more'"):
        sentences(c.SentencePairsConfig(path=path, sentences=["sent_mor", "sent_less"]))


def test_the_chosen_rows_are_the_same_for_everybody(tmp_path: Path) -> None:
    path = _rows(tmp_path, *({"prompt": f"row {i}"} for i in range(50)))
    first = questions(c.GenerationConfig(path=path, rows=10))
    assert [case.place for case in first] == [
        case.place for case in questions(c.GenerationConfig(path=path, rows=10))
    ]
    numbers = [int(case.prompt.split()[1]) for case in first]
    assert numbers == sorted(set(numbers))  # in the order of the file
    assert numbers != list(range(10))  # and not merely its beginning
    assert len(questions(c.GenerationConfig(path=path))) == 50


def test_a_template_reaches_columns_and_nothing_else(tmp_path: Path) -> None:
    path = _rows(tmp_path, {"q": "x"})
    with pytest.raises(UserError, match=r"q\.__class__: is not a column"):
        questions(c.GenerationConfig(path=path, template="{q.__class__}"))


def test_groups_are_named_and_together_they_are_all(tmp_path: Path) -> None:
    path = _rows(
        tmp_path, {"prompt": "x", "g": "b"}, {"prompt": "y", "g": "a"}, {"prompt": "z", "g": "b"}
    )
    cases = questions(c.GenerationConfig(path=path, group="g"))
    assert list(by_group(cases)) == [("", [0, 1, 2]), ("/a", [1]), ("/b", [0, 2])]


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_a_test_set_may_be_a_datasets_folder_or_stand_on_the_hub(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` is stood in for: what it returns is a sequence of rows."""
    rows = [
        {"question": "2 + 2?", "answers": {"text": ["4", "four"]}},
        {"question": "1 + 1?", "answers": {"text": ["2"]}},
    ]
    module = types.ModuleType("datasets")
    vars(module)["load_from_disk"] = lambda path: rows
    vars(module)["load_dataset"] = lambda *names, split, revision: {("me/sums", "test"): rows}[
        (*names, split)
    ]
    monkeypatch.setitem(sys.modules, "datasets", module)
    hub._loaded.cache_clear()
    (tmp_path / "dataset_info.json").write_text("{}")
    path = str(tmp_path) if where == "folder" else "hub://me/sums/test"
    metrics = [c.TextMetric.token_f1]
    config = c.GenerationConfig(
        path=path, template="Q: {question}", references=["answers.text"], metrics=metrics
    )
    assert [(q.prompt, q.references) for q in questions(config)] == [
        ("Q: 2 + 2?", ("4", "four")),
        ("Q: 1 + 1?", ("2",)),
    ]
    assert len(inspect_questions(config).content) == 64
    rows[1]["answers"] = {"text": []}
    with pytest.raises(UserError, match=r":row 2: answers\.text: holds no text"):
        questions(config)
