"""Evaluators for real models over test sets in local files: free text, multiple choice, pairs of sentences, and a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context, Evaluator, RewardModel
    from preflab_builtin.benchmarks import config as c


@hookimpl
def preflab_components() -> list[Component]:
    """Three evaluators, the harness of others, and a classifier as a judge."""
    from preflab_builtin.benchmarks import config as c

    judges = {"scorers": "reward_model"}
    return [
        Component(
            "evaluator",
            "generation",
            c.GenerationConfig,
            build=_generation,
            nested=judges,
            inspect=_questions,
        ),
        Component(
            "evaluator",
            "multiple_choice",
            c.MultipleChoiceConfig,
            build=_multiple_choice,
            inspect=_choices,
        ),
        Component(
            "evaluator",
            "sentence_pairs",
            c.SentencePairsConfig,
            build=_sentence_pairs,
            inspect=_sentences,
        ),
        Component("evaluator", "lm_eval", c.HarnessConfig, build=_harness, inspect=_tasks),
        Component(
            "reward_model", "classifier", c.ClassifierConfig, build=_classifier, inspect=_model
        ),
    ]


def _generation(config: c.GenerationConfig, context: Context) -> Evaluator:
    from preflab_builtin.benchmarks.generation import Generation

    return Generation(config, context)


def _multiple_choice(config: c.MultipleChoiceConfig, context: Context) -> Evaluator:
    from preflab_builtin.benchmarks.likelihood import MultipleChoice

    return MultipleChoice(config, context)


def _sentence_pairs(config: c.SentencePairsConfig, context: Context) -> Evaluator:
    from preflab_builtin.benchmarks.likelihood import SentencePairs

    return SentencePairs(config, context)


def _harness(config: c.HarnessConfig, context: Context) -> Evaluator:
    from preflab_builtin.benchmarks.harness import Harness

    return Harness(config, context)


def _classifier(config: c.ClassifierConfig, context: Context) -> RewardModel:
    from preflab_builtin.benchmarks.classifier import Classifier

    return Classifier(config, context.runtime)


def _questions(config: c.GenerationConfig) -> Inspection:
    from preflab_builtin.benchmarks.cases import inspection, questions

    return inspection(config, questions)


def _choices(config: c.MultipleChoiceConfig) -> Inspection:
    from preflab_builtin.benchmarks.cases import choices, inspection

    return inspection(config, choices)


def _sentences(config: c.SentencePairsConfig) -> Inspection:
    from preflab_builtin.benchmarks.cases import inspection, sentences

    return inspection(config, sentences)


def _tasks(config: c.HarnessConfig) -> Inspection:
    from preflab_builtin.benchmarks.harness import inspect_tasks

    return inspect_tasks(config)


def _model(config: c.ClassifierConfig) -> Inspection:
    from preflab_builtin.causal_lm.folders import content_digest, locate

    return Inspection(
        content=content_digest(locate(config.path, config.revision, "classifier.path"))
    )
