"""What the outside inputs of these components contain; imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from preflab import Inspection
from preflab.rows import path_digest
from preflab_builtin.benchmarks.cases import choices, questions, sentences
from preflab_builtin.benchmarks.config import (
    ClassifierConfig,
    GenerationConfig,
    MultipleChoiceConfig,
    SentencePairsConfig,
)
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.causal_lm.folders import content_digest, locate


def inspect_questions(config: GenerationConfig) -> Inspection:
    """The digest of the file of questions; `UserError` at a bad row."""
    return _checked(config.path, questions, config)


def inspect_choices(config: MultipleChoiceConfig) -> Inspection:
    """The digest of the file of multiple-choice questions; `UserError` at a bad row."""
    return _checked(config.path, choices, config)


def inspect_sentences(config: SentencePairsConfig) -> Inspection:
    """The digest of the file of sentences; `UserError` at a bad row."""
    return _checked(config.path, sentences, config)


def inspect_classifier(config: ClassifierConfig) -> Inspection:
    """The digest of the classifier's folder."""
    folder = locate(config.path, config.revision, "classifier.path", Use.classifier)
    return Inspection(content=content_digest(folder))


def _checked(path: str, read: Callable[[Any], object], config: object) -> Inspection:
    read(config)
    return Inspection(content=path_digest(Path(path)))
