"""Test sets and judges, looked at before the first stage of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from preflab.interfaces import Context
from preflab.lengths import POLICY, prompt_sizes, refuse, row_sizes
from preflab.records import Demonstration, Prompt
from preflab_builtin.benchmarks.cases import choices, questions, sentences
from preflab_builtin.benchmarks.classifier import Classifier
from preflab_builtin.benchmarks.config import (
    ClassifierConfig,
    GenerationConfig,
    MultipleChoiceConfig,
    SentencePairsConfig,
)
from preflab_builtin.evaluation.text_metrics import METRICS


def generation(config: GenerationConfig, context: Context) -> Iterator[str]:
    """`UserError` for a metric whose package is missing, and for questions that leave no room for
    an answer."""
    for metric in config.metrics:
        METRICS[metric.value](["a text"], [["a text"]])
    limit = context.max_positions
    if limit is None:
        return
    room = limit - config.max_tokens
    asked = [
        Prompt(case.place, f"{prefix}{case.prompt}", place=case.place)
        for case in questions(config)
        for prefix in config.prefixes.values()
    ]
    longest = f"max_tokens={config.max_tokens} of the evaluator {config.name}"
    why = f"the {limit} positions of {POLICY} less {longest}"
    cures = ["lower max_tokens", "shorten the prefixes or the questions"]
    refuse("questions", list(prompt_sizes(context.tokenizer, asked, room)), room, why, cures)
    yield from ()


def multiple_choice(config: MultipleChoiceConfig, context: Context) -> Iterator[str]:
    """`UserError` for questions that do not fit into the policy with an answer."""
    rows = [
        (case.place, case.prompt, f"{config.between}{answer}")
        for case in choices(config)
        for answer in case.answers
    ]
    _check_texts("answers", config.prefixes, rows, context)
    yield from ()


def sentence_pairs(config: SentencePairsConfig, context: Context) -> Iterator[str]:
    """`UserError` for sentences that do not fit into the policy."""
    rows = [(case.place, "", text) for case in sentences(config) for text in case.texts]
    _check_texts("sentences", config.prefixes, rows, context)
    yield from ()


def _check_texts(
    kind: str,
    prefixes: Mapping[str, str],
    rows: Sequence[tuple[str, str, str]],
    context: Context,
) -> None:
    """rows: place, prompt and the text that follows it."""
    limit = context.max_positions
    if limit is None:
        return
    read = [
        Demonstration(Prompt(place, f"{prefix}{prompt}", place=place), text)
        for place, prompt, text in rows
        for prefix in prefixes.values()
    ]
    why = f"the positions of {POLICY}, with what is in front of them"
    cures = ["shorten the prefixes or the rows"]
    refuse(kind, list(row_sizes(context.tokenizer, read, limit)), limit, why, cures)


def classifier(config: ClassifierConfig, context: Context) -> Iterator[str]:
    """`UserError` for a classifier that cannot be read, is broken or lacks the label."""
    Classifier(config, context.runtime).check()
    yield from ()
