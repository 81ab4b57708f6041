"""Evaluators on test sets in files: free text, multiple choice, pairs of sentences, and a judge."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab_builtin.benchmarks import config as c

_HERE = "preflab_builtin.benchmarks"


@hookimpl
def preflab_components() -> list[Component]:
    """Three evaluators, lm-evaluation-harness, and a classifier as a judge."""
    return [
        Component(
            "evaluator",
            "generation",
            c.GenerationConfig,
            f"{_HERE}.generation:Generation",
            nested={"scorers": "reward_model"},
            inspect=f"{_HERE}.inspecting:inspect_questions",
            preflight=f"{_HERE}.preflight:generation",
        ),
        Component(
            "evaluator",
            "multiple_choice",
            c.MultipleChoiceConfig,
            f"{_HERE}.likeliest:MultipleChoice",
            inspect=f"{_HERE}.inspecting:inspect_choices",
            preflight=f"{_HERE}.preflight:multiple_choice",
        ),
        Component(
            "evaluator",
            "sentence_pairs",
            c.SentencePairsConfig,
            f"{_HERE}.likeliest:SentencePairs",
            inspect=f"{_HERE}.inspecting:inspect_sentences",
            preflight=f"{_HERE}.preflight:sentence_pairs",
        ),
        Component(
            "evaluator",
            "lm_eval",
            c.HarnessConfig,
            f"{_HERE}.harness:Harness",
            inspect=f"{_HERE}.harness:inspect_tasks",
            preflight=f"{_HERE}.harness:look_for_tasks",
        ),
        Component(
            "reward_model",
            "classifier",
            c.ClassifierConfig,
            f"{_HERE}.classifier:classifier",
            inspect=f"{_HERE}.inspecting:inspect_classifier",
            preflight=f"{_HERE}.preflight:classifier",
        ),
    ]
