"""The probability of a label by a sequence classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.prompts import whole_text
from preflab.records import Prompt
from preflab_builtin.benchmarks import config as benchmarks
from preflab_builtin.benchmarks.inspecting import inspect_classifier
from preflab_builtin.causal_lm.checking import Use, read_json
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.guard.calibration import calibrated, inspected
from preflab_builtin.guard.config import ClassifierConfig
from preflab_builtin.guard.verdicts import Scoring

KEY = "guard"
"""Of its options, in messages."""
FACTS = "preflab.json"
"""What preflab says of a model folder that it wrote."""


def classifier(config: ClassifierConfig, context: Context) -> Scoring:
    """A guard by a classifier on the devices of the run."""
    from preflab_builtin.benchmarks.classifier import Classifier, probabilities

    model = Classifier(_read_as(config), context.runtime, KEY)

    def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
        texts = [prompt.text for prompt in prompts]
        if responses is not None:
            texts = [
                whole_text(prompt, response) if config.whole_text else response
                for prompt, response in zip(texts, responses, strict=True)
            ]
        return [float(value) for value in probabilities(model, texts)]

    threshold = calibrated(config, scores, KEY)
    category = config.category or config.label or str(model.model.config.id2label[model.label])
    return Scoring(scores, threshold, category, config.checks, config.action)


def inspect(config: ClassifierConfig) -> Inspection:
    """The digest of the classifier's folder, and of the calibration file; `UserError` unless it is
    clear which label is not allowed, and for what preflab trained to score how good responses
    are."""
    _check_kind(locate(config.path, config.revision, f"{KEY}.path", Use.classifier))
    return inspected(config, KEY, inspect_classifier(_read_as(config), KEY).content)


def _check_kind(folder: Path) -> None:
    """A reward model has the form of a classifier: as a guard it would block what people like."""
    file = folder / FACTS
    kind = read_json(file).get("kind") if file.is_file() else None
    called = {
        "scalar model": "a reward model",
        "model with several heads": "a reward model with a head for each group",
    }.get(str(kind))
    if called is not None:
        raise UserError(
            f"{KEY}.path: {folder} is {called} ({FACTS}: '{kind}'). Its scores say how good a "
            "response is, so that a guard of them would block the best ones. Name a classifier of "
            "what is not allowed: preflab label guard ROUND trains one on what people flagged."
        )


def _read_as(config: ClassifierConfig) -> benchmarks.ClassifierConfig:
    return benchmarks.ClassifierConfig(
        path=config.path,
        revision=config.revision,
        label=config.label,
        max_tokens=config.max_tokens,
    )
