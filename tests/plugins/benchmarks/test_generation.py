"""Free text against values worked out by hand, with an engine that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from preflab.interfaces import Measure, Policy, Sampling, Subject
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.generation import Generation
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
