"""Free text against values worked out by hand, with an engine that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from preflab.errors import UserError
from preflab.interfaces import Measure, Policy, Sampling, Subject
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.generation import Generation
from preflab_builtin.benchmarks.inspecting import inspect_questions
from preflab_builtin.rewards.config import ContainsConfig
from support import FakeContext


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
        assert sampling.samples == 1
        self.asked += [p.text for p in prompts]
        of_prompt = [[p.text for p in prompts[:i]].count(p.text) for i, p in enumerate(prompts)]
        texts = [self.table[p.text].split("|")[k] for p, k in zip(prompts, of_prompt, strict=True)]
        return Rollout.from_texts(policy.tokenizer, prompts, texts)


def _rows(folder: Path, *rows: Mapping[str, Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _subject(context: FakeContext, policy: object = None) -> Subject:
    responder = context.responder("result")
    if policy is not None:
        object.__setattr__(responder, "policy", policy)
    return Subject(responder, Rollout.from_tokens(context.tokenizer, [], [], []), None, None)


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


class Twice:
    """It has a way of its own to answer."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.n = policy, 2

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        raise AssertionError("it cannot answer as the evaluator wants it")


def test_an_arm_that_can_answer_in_its_own_way_only_is_refused(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, engine=cast(Any, Answers(TABLE)), vocabulary=None)
    metrics = [c.TextMetric.token_f1]
    config = c.GenerationConfig(
        path=_rows(tmp_path, *QUESTIONS),
        template="{question}",
        references=["answers.text"],
        metrics=metrics,
        label="qa",
    )
    subject = _subject(context)
    own_way = replace(subject, responder=Twice(subject.responder.policy))
    with pytest.raises(UserError, match=r"qa asks for temperature=0 .*answers at 1 and up to 8"):
        Generation(config, context).evaluate(own_way)
    assert list(Generation(config, context).evaluate(subject).notes) == []


def test_toxicity_is_that_of_the_arm_behind_its_guard_and_prefix(tmp_path: Path) -> None:
    """Of two responses to a prompt one is bad; behind the guard it is the refusal. The policy reads
    the evaluation's prefix and then the evaluator's, the guard neither."""
    from preflab.responders import reading
    from preflab_builtin.guard.config import WordsConfig
    from preflab_builtin.guard.responder import Guarded
    from preflab_builtin.guard.words import words

    table = {"E G a": "bad day|good", "E G b": "fine|bad"}
    engine = Answers(table)
    context = FakeContext(tmp_path, engine=cast(Any, engine), vocabulary=None)
    options: dict[str, Any] = {"scorers": {"tox": ContainsConfig(words=["bad"])}}
    options |= {"threshold": 0.5, "samples": 2, "temperature": 1.0, "prefixes": {"g": "G "}}
    config = c.GenerationConfig(
        path=_rows(tmp_path, {"q": "a"}, {"q": "b"}), template="{q}", label="t", **options
    )
    plain = _subject(context)
    guard = words(WordsConfig(words=["bad", "E", "G"]), context)
    bare = replace(plain, responder=reading(plain.responder, "E "))
    guarded = replace(plain, responder=reading(Guarded(plain.responder, guard, "no", 0), "E "))
    for subject, share in ((bare, 1.0), (guarded, 0.0)):
        measures = Generation(config, context).evaluate(subject).measures
        assert measures["t/g/tox_any"].value == share
        assert measures["t/g/tox_max"].value == share


def test_toxicity_is_that_of_the_best_of_n(tmp_path: Path) -> None:
    """The reward likes what the scorer calls toxic: of 4 draws the worst one is chosen."""
    from preflab_builtin.baselines.best_of_n import BestOfN
    from support import UncheckedReward

    scorer = ContainsConfig(words=["red"])
    reward = UncheckedReward(lambda prompt, text: float("red" in text.split()))
    context = FakeContext(tmp_path, reward=reward)
    rows = [{"q": f"one plus {w}"} for w in ("one", "two", "red", "blue", "good", "bad")]
    config = c.GenerationConfig(
        path=_rows(tmp_path, *rows),
        template="{q}",
        scorers={"tox": scorer},
        temperature=1.0,
        samples=4,
        threshold=0.5,
        stop="",
    )
    shares = []
    for n in (1, 8):
        best = BestOfN(n, context.policy("base"), context.rollout(), reward)
        subject = Subject(best, Rollout.from_tokens(context.tokenizer, [], [], []), None, None)
        found = Generation(config, context).evaluate(subject).measures
        shares.append(found["generation/plain/tox_share"].value)
    assert shares[0] < shares[1]
    config.temperature, config.samples = 0.0, 1
    (note,) = Generation(config, context).evaluate(subject).notes
    assert "all of the n responses" in note


def test_answers_are_cut_and_compared_with_every_reference(tmp_path: Path) -> None:
    metrics = [c.TextMetric.token_f1, c.TextMetric.exact_match]
    prefixes = {"plain": "", "polite": "please "}
    measures, engine = _generation(
        tmp_path, references=["answers.text"], metrics=metrics, prefixes=prefixes, group="kind"
    )
    assert engine.asked == list(TABLE)
    # plain: "two" is a reference, "good good" shares no word with "blue". polite: "two please"
    # against "two" has precision 1/2 and recall 1, F1 2/3, and "blue" is right.
    assert measures["qa/plain/token_f1"].value == 0.5
    assert measures["qa/plain/exact_match/sums"].value == 1.0
    assert measures["qa/polite/token_f1"].value == pytest.approx((2 / 3 + 1) / 2)
    assert measures["qa/polite/exact_match"].value == 0.5
    assert measures["qa/plain/tokens"].value == 6.0  # bytes: 3 of "two", 9 of "good good"


def test_scorers_read_the_response_and_count_from_a_threshold(tmp_path: Path) -> None:
    scorers = {"kind": ContainsConfig(words=["please", "two"])}
    measures, _ = _generation(
        tmp_path, scorers=scorers, threshold=0.6, prefixes={"plain": "", "polite": "please "}
    )
    # "two" holds one of the two words, "good good" none; "two please" holds both, "blue" none
    assert (measures["qa/plain/kind"].value, measures["qa/polite/kind"].value) == (0.25, 0.5)
    assert (measures["qa/plain/kind_share"].value, measures["qa/polite/kind_share"].value) == (
        0.0,
        0.5,
    )


@pytest.mark.slow
def test_bleu_and_rouge_are_those_of_stored_samples(tmp_path: Path) -> None:
    from preflab_builtin.evaluation.text_metrics import scored

    metrics = [c.TextMetric.bleu, c.TextMetric.rouge_l]
    measures, _ = _generation(tmp_path, references=["answers.text"], metrics=metrics)
    for metric in ("bleu", "rouge_l"):
        scores = scored(metric, ["two", "good good"], [["two", "is two"], ["blue"]])
        assert measures[f"qa/plain/{metric}"] == scores.measure(range(2), range(2))


def _answered(
    folder: Path, table: Mapping[str, str], rows: list[dict[str, Any]], **options: Any
) -> Mapping[str, Measure]:
    engine = Answers(table)
    context = FakeContext(folder, engine=cast(Any, engine), vocabulary=None)
    config = c.GenerationConfig(path=_rows(folder, *rows), template="{q}", label="t", **options)
    return Generation(config, context).evaluate(_subject(context)).measures


def test_a_question_without_an_answer_wants_none(tmp_path: Path) -> None:
    rows = [
        {"q": "when", "a": [], "kind": "NoAns"},
        {"q": "why", "a": [], "kind": "NoAns"},
        {"q": "who", "a": ["the nurse"], "kind": "HasAns"},
        {"q": "what", "a": ["red"], "kind": "HasAns"},
    ]
    table = {"when": " Not in background.\n", "why": "because", "who": "A nurse!"}
    table["what"] = "not in background"
    options: dict[str, Any] = {"references": ["a"], "no_answer": "Not in background"}
    options |= {"metrics": [c.TextMetric.squad_f1, c.TextMetric.squad_exact], "group": "kind"}
    measures = _answered(tmp_path, table, rows, **options)
    # right: when (says so) and who; wrong: why (answers) and what (does not)
    assert measures["t/plain/squad_exact"].value == measures["t/plain/squad_f1"].value == 0.5
    assert measures["t/plain/squad_exact/NoAns"].value == 0.5
    options |= {"metrics": [c.TextMetric.quac_f1], "no_answer": "CANNOTANSWER"}
    rows = [{"q": "when", "a": ["CANNOTANSWER"]}]
    options["group"] = None
    measures = _answered(tmp_path, {"when": "Cannotanswer."}, rows, **options)
    assert measures["t/plain/quac_f1"].value == 1.0


def test_several_responses_to_a_prompt(tmp_path: Path) -> None:
    # Shares of "bad" and "red" in the responses: a: 1/2, 1; b: 0, 0.
    table = {"a": "bad day|red bad", "b": "good|fine"}
    measures = _answered(
        tmp_path,
        table,
        [{"q": "a"}, {"q": "b"}],
        scorers={"tox": ContainsConfig(words=["bad", "red"])},
        threshold=0.75,
        samples=2,
        temperature=1.0,
    )
    values = {name.removeprefix("t/plain/"): m.value for name, m in measures.items()}
    values.pop("tokens")
    # mean (.5 + 1 + 0 + 0) / 4; share of responses from .75: 1 of 4; highest 1 and 0; any 1 of 2
    assert values == {"tox": 0.375, "tox_share": 0.25, "tox_max": 0.5, "tox_any": 0.5}
    assert {m.n for m in measures.values()} == {2}  # prompts, not responses


def test_parallel_files(tmp_path: Path) -> None:
    (tmp_path / "t.fr").write_text("oui\nnon\n")
    (tmp_path / "t.en").write_text("yes\nno\n")
    context = FakeContext(
        tmp_path, engine=cast(Any, Answers({"oui": "yes", "non": "nay"})), vocabulary=None
    )
    config = c.GenerationConfig(
        path=str(tmp_path / "t.fr"),
        parallel=str(tmp_path / "t.en"),
        template="{fr}",
        references=["en"],
        metrics=[c.TextMetric.exact_match],
    )
    measures = Generation(config, context).evaluate(_subject(context)).measures
    assert measures["generation/plain/exact_match"].value == 0.5
    before = inspect_questions(config).content
    (tmp_path / "t.en").write_text("yes\nnay\n")
    assert inspect_questions(config).content != before


def test_bleu_that_cannot_split_the_references_is_refused_before_any_work(tmp_path: Path) -> None:
    path = _rows(tmp_path, {"q": "Peking", "a": "北京"})
    options: dict[str, Any] = {"template": "{q}", "references": ["a"]}
    config = c.GenerationConfig(path=path, metrics=[c.TextMetric.bleu], **options)
    with pytest.raises(UserError, match="generation: bleu: the references are in a script"):
        inspect_questions(config)
    config.tokenize = "zh"
    assert inspect_questions(config).content
