"""What the outside inputs of these components contain; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.rows import path_digest
from preflab_builtin.benchmarks.cases import choices, questions, sentences
from preflab_builtin.benchmarks.config import (
    ClassifierConfig,
    GenerationConfig,
    MultipleChoiceConfig,
    SentencePairsConfig,
    TextMetric,
)
from preflab_builtin.benchmarks.labels import label_number, labels_of
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.evaluation.text_metrics import CannotMeasure, check_bleu, prepare


def inspect_questions(config: GenerationConfig) -> Inspection:
    """The digest of the file of questions, and of its parallel one; `UserError` at a bad row, and
    where a metric cannot be measured."""
    inspection = _checked(config.path, questions, config)
    for metric in config.metrics:
        try:
            prepare(metric.value, config.tokenize)
            if metric is TextMetric.bleu:
                check_bleu([case.references for case in questions(config)], config.tokenize)
        except CannotMeasure as error:
            raise UserError(f"evaluators: {config.label or config.name}: {error}") from None
    if not config.parallel:
        return inspection
    return Inspection(content=inspection.content + path_digest(Path(config.parallel)))


def inspect_choices(config: MultipleChoiceConfig) -> Inspection:
    """The digest of the file of multiple-choice questions; `UserError` at a bad row."""
    return _checked(config.path, choices, config)


def inspect_sentences(config: SentencePairsConfig) -> Inspection:
    """The digest of the file of sentences; `UserError` at a bad row."""
    return _checked(config.path, sentences, config)


def inspect_classifier(config: ClassifierConfig, key: str = "classifier") -> Inspection:
    """The digest of the classifier's folder; `UserError` unless it is clear which of its labels is
    meant. key: of the options, for messages."""
    folder = locate(config.path, config.revision, f"{key}.path", Use.classifier)
    label_number(config.label, labels_of(folder), key)
    return Inspection(content=content_digest(folder))


def _checked(path: str, read: Callable[[Any], object], config: object) -> Inspection:
    read(config)
    return Inspection(content=path_digest(Path(path)))
