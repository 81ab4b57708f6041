"""The probability of a label by a sequence classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preflab import Inspection
from preflab.interfaces import Context
from preflab.prompts import whole_text
from preflab.records import Prompt
from preflab.rows import path_digest
from preflab_builtin.benchmarks import config as benchmarks
from preflab_builtin.benchmarks.inspecting import inspect_classifier
from preflab_builtin.guard.calibration import calibrated
from preflab_builtin.guard.config import ClassifierConfig
from preflab_builtin.guard.verdicts import Scoring


def classifier(config: ClassifierConfig, context: Context) -> Scoring:
    """A guard by a classifier on the devices of the run."""
    from preflab_builtin.benchmarks.classifier import Classifier, probabilities

    model = Classifier(_read_as(config), context.runtime)

    def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
        texts = [prompt.text for prompt in prompts]
        if responses is not None:
            texts = [
                whole_text(prompt, response) if config.whole_text else response
                for prompt, response in zip(texts, responses, strict=True)
            ]
        return [float(value) for value in probabilities(model, texts)]

    threshold = calibrated(
        *(config.threshold, config.calibration, config.false_blocks, config.checks, scores, "guard")
    )
    category = config.category or config.label or str(model.model.config.id2label[model.label])
    return Scoring(scores, threshold, category, config.checks, config.action)


def inspect(config: ClassifierConfig) -> Inspection:
    """The digest of the classifier's folder, and of the calibration file; `UserError` unless it is
    clear which label is not allowed."""
    model = inspect_classifier(_read_as(config)).content
    file = path_digest(Path(config.calibration)) if config.calibration else ""
    return Inspection(content=model + file)


def _read_as(config: ClassifierConfig) -> benchmarks.ClassifierConfig:
    return benchmarks.ClassifierConfig(
        path=config.path,
        revision=config.revision,
        label=config.label,
        max_tokens=config.max_tokens,
    )
