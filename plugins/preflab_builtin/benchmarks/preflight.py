"""Test sets and judges, looked at before the first stage of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from preflab.interfaces import Context
from preflab.lengths import POLICY, longest, prompt_sizes, refuse
from preflab.prompts import unread_prefix
from preflab.records import Prompt
from preflab_builtin.benchmarks.cases import choices, questions, sentences
from preflab_builtin.benchmarks.classifier import Classifier
from preflab_builtin.benchmarks.config import (
    ClassifierConfig,
    GenerationConfig,
    MultipleChoiceConfig,
    RowsConfig,
    SentencePairsConfig,
    TextMetric,
)
from preflab_builtin.causal_lm.preflight import check_tokens
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.evaluation.text_metrics import check_bleu, prepare


def generation(config: GenerationConfig, context: Context) -> Iterator[str]:
    """`UserError` for a metric whose package is missing, and for questions that leave no room for
    an answer. Of the prefixes see `unread_prefix`, here and below."""
    yield from _prefixes(config, context)
    cases = questions(config)
    for metric in config.metrics:
        prepare(metric.value, config.tokenize)
    if TextMetric.bleu in config.metrics:
        check_bleu([case.references for case in cases], config.tokenize)
    limit = context.max_positions
    if limit is None:
        return
    room = limit - config.max_tokens
    front = longest(context.tokenizer, context.in_front())
    asked = [
        Prompt(case.place, f"{front}{prefix}{case.prompt}", place=case.place)
        for case in cases
        for prefix in config.prefixes.values()
    ]
    cap = f"max_tokens={config.max_tokens} of the evaluator {config.name}"
    why = f"the {limit} positions of {POLICY} less {cap}"
    cures = ["lower max_tokens", "shorten the prefixes or the questions"]
    refuse("questions", prompt_sizes(context.tokenizer, asked, room), room, why, cures)


def multiple_choice(config: MultipleChoiceConfig, context: Context) -> Iterator[str]:
    """`UserError` for questions that do not fit into the policy with an answer."""
    yield from _prefixes(config, context)
    rows = [
        (case.place, case.prompt, f"{config.between}{answer}")
        for case in choices(config)
        for answer in case.answers
    ]
    _check_texts("answers", config.prefixes, rows, context)


def sentence_pairs(config: SentencePairsConfig, context: Context) -> Iterator[str]:
    """`UserError` for sentences that do not fit into the policy."""
    yield from _prefixes(config, context)
    rows = [(case.place, "", text) for case in sentences(config) for text in case.texts]
    _check_texts("sentences", config.prefixes, rows, context)


def _prefixes(config: RowsConfig, context: Context) -> Iterator[str]:
    for name, prefix in config.prefixes.items():
        key = f"evaluators: {config.label or config.name}.prefixes.{name}"
        yield from unread_prefix(context.tokenizer, prefix, key)


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
    tokenizer = context.tokenizer
    asked = (
        (Prompt(place, f"{prefix}{prompt}", place=place), text)
        for place, prompt, text in rows
        for prefix in prefixes.values()
    )
    # As `log_likelihoods` reads them: an empty prompt is one token, and no end is counted.
    sizes = (
        (prompt, max(1, len(tokenizer.encode_prompt(prompt))) + len(tokenizer.encode(text)))
        for prompt, text in asked
    )
    why = f"the positions of {POLICY}, with what is in front of them"
    cures = ["shorten the prefixes or the rows"]
    refuse(kind, sizes, limit, why, cures)


def classifier(config: ClassifierConfig, context: Context) -> Iterator[str]:
    """`UserError` for a classifier that cannot be read or lacks the label, whose weights are not
    finite, or whose tokenizer has more tokens than the embedding has rows; a sentence, if it has
    fewer positions than it is to read."""
    judge = Classifier(config, context.runtime)
    check_finite(judge.folder)
    for _ in check_tokens(judge.folder, judge.tokenizer):
        pass  # no text leads to these tokens
    if judge.max_tokens < config.max_tokens:
        yield (
            f"The classifier {judge.folder} has {judge.max_tokens} positions: longer texts are "
            f"read in windows of so many tokens, not of max_tokens={config.max_tokens}."
        )
