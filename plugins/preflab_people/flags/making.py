"""A guard from texts with flags: trained, and measured with those that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preflab.runtime import Runtime, RuntimeConfig
from preflab_builtin.benchmarks.classifier import Classifier, probabilities
from preflab_builtin.benchmarks.config import ClassifierConfig
from preflab_builtin.progress.display import choose
from preflab_people.flags.dividing import Divided
from preflab_people.flags.measuring import Measured, measured
from preflab_people.flags.rows import Flagged
from preflab_people.flags.training import FlagClassifier, Training


@dataclass(frozen=True)
class Made:
    """A guard that was trained. policy: the folder whose weights it began with; false_blocks: share
    of the texts without a flag that may be blocked; found: by flag."""

    given: Flagged
    parts: Divided
    policy: str
    how: Training
    false_blocks: float
    found: Mapping[str, Measured]


def train(parts: Divided, policy: Path, how: Training) -> FlagClassifier:
    """The classifier, trained with a bar on stderr. policy: the folder whose weights it begins
    with."""
    model = FlagClassifier(policy, parts.flags, Runtime(RuntimeConfig()))
    shares = [[text.share(flag) for flag in parts.flags] for text in parts.trained]
    bar = choose(["guard"])
    bar.begin("guard", how.steps(len(shares)), 0)
    try:
        for step, loss in enumerate(model.train(parts.read(parts.trained), shares, how)):
            bar.step("guard", step, {"loss/guard": loss})
    finally:
        bar.close()
    return model


def measure(folder: Path, parts: Divided, false_blocks: float) -> dict[str, Measured]:
    """By flag, what the guard finds of the held-out texts. It is asked as in a run, from its
    folder, so that the numbers are those of what will be used."""
    texts, units = parts.read(parts.held_out), [text.unit for text in parts.held_out]
    runtime, found = Runtime(RuntimeConfig()), {}
    for flag in parts.flags:
        judge = Classifier(ClassifierConfig(path=str(folder), label=flag), runtime)
        scores = probabilities(judge, texts).tolist()
        has = [text.has(flag) for text in parts.held_out]
        found[flag] = measured(scores, has, units, false_blocks)
    return found
