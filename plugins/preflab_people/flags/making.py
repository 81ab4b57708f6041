"""A guard from texts with flags: trained, and measured with those that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preflab.runtime import Runtime, RuntimeConfig
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


def make(
    given: Flagged, parts: Divided, policy: Path, how: Training, false_blocks: float
) -> tuple[Made, FlagClassifier]:
    """Train it, with a bar on stderr, and measure it."""
    model = FlagClassifier(policy, parts.flags, Runtime(RuntimeConfig()))
    shares = [[text.share(flag) for flag in parts.flags] for text in parts.trained]
    bar = choose(["guard"])
    bar.begin("guard", how.steps(len(shares)), 0)
    try:
        for step, loss in enumerate(model.train(parts.read(parts.trained), shares, how)):
            bar.step("guard", step, {"loss/guard": loss})
    finally:
        bar.close()
    scores = model.probabilities(parts.read(parts.held_out))
    units = [text.unit for text in parts.held_out]
    found = {}
    for i, flag in enumerate(parts.flags):
        has = [text.has(flag) for text in parts.held_out]
        found[flag] = measured(scores[:, i].tolist(), has, units, false_blocks)
    return Made(given, parts, str(policy), how, false_blocks, found), model
