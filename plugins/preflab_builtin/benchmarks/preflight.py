"""Test sets and judges, looked at before the first stage of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preflab.errors import UserError
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
    TextMetric,
)
from preflab_builtin.causal_lm.preflight import check_tokens
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.evaluation.text_metrics import check_bleu, prepare


def generation(config: GenerationConfig, context: Context) -> Iterator[str]:
    """`UserError` for a metric whose package is missing, and for questions that leave no room for
    an answer."""
    cases = questions(config)
    for metric in config.metrics:
        prepare(metric.value, config.tokenize)
    if TextMetric.bleu in config.metrics:
        check_bleu([case.references for case in cases], config.tokenize)
    limit = context.max_positions
    if limit is None:
        return
    room = limit - config.max_tokens
    asked = [
        Prompt(case.place, f"{prefix}{case.prompt}", place=case.place)
        for case in cases
        for prefix in config.prefixes.values()
    ]
    longest = f"max_tokens={config.max_tokens} of the evaluator {config.name}"
    why = f"the {limit} positions of {POLICY} less {longest}"
    cures = ["lower max_tokens", "shorten the prefixes or the questions"]
    refuse("questions", prompt_sizes(context.tokenizer, asked, room), room, why, cures)
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
    refuse(kind, row_sizes(context.tokenizer, read, limit), limit, why, cures)


def classifier(config: ClassifierConfig, context: Context) -> Iterator[str]:
    """`UserError` for a classifier that cannot be read or lacks the label, whose weights are not
    finite, whose tokenizer has more tokens than the embedding has rows, or that is to read more
    tokens than it has positions."""
    judge = Classifier(config, context.runtime)
    check_finite(judge.folder)
    for _ in check_tokens(judge.folder, judge.tokenizer):
        pass  # no text leads to these tokens
    limit = positions(judge.model.config)
    if limit is not None and config.max_tokens > limit:
        raise UserError(
            f"The classifier {judge.folder} has {limit} positions: set its max_tokens "
            f"({config.max_tokens}) to {limit} or less."
        )
    yield from ()


def positions(config: Any) -> int | None:
    """Tokens that a classifier reads at most, by its config; None if it names no limit. RoBERTa and
    its kin number positions from behind the pad id."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    shifted = config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
    return limit - config.pad_token_id - 1 if limit is not None and shifted else limit
