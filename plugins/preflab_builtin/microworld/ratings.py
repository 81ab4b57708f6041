"""What InstructGPT's labelers wrote down with their rankings, as far as the world defines it (table
3): Likert ratings and flags."""

from __future__ import annotations

from collections.abc import Iterator

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab_builtin.microworld.config import RatingsConfig
from preflab_builtin.microworld.gold import MicroworldGold
from preflab_builtin.microworld.labelers import SimulatedLabelers


def likert(utility: float) -> int:
    """Overall quality from 1 to 7: nothing useful and nothing bad is a 4, a full answer a 7.

    >>> likert(0.0), likert(1.0), likert(-0.5), likert(-9.0)
    (4, 7, 2, 1)
    """
    return max(1, min(7, round(4 + 3 * utility)))


def preflight(config: RatingsConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no people of the embedded world to ask."""
    Ratings(config, context)
    yield from ()


class Ratings:
    """likert/training and likert/held_out: mean over prompts and people of a 1 to 7 rating.
    flags/fails_task, flags/violates_constraint (of prompts that have one), flags/hallucination and
    flags/rude: shares of responses."""

    def __init__(self, config: RatingsConfig, context: Context) -> None:
        labeler, gold = context.labeler(), context.gold
        if not isinstance(labeler, SimulatedLabelers) or not isinstance(gold, MicroworldGold):
            raise UserError(
                "evaluators: ratings asks the people of the embedded world. "
                "Choose data=microworld labeler=simulated."
            )
        self.labeler, self.gold = labeler, gold

    def evaluate(self, subject: Subject) -> Evaluation:
        """Rate and flag every response."""
        rollout = subject.rollout
        pairs = list(zip(rollout.prompts, rollout.texts, strict=True))
        values: dict[str, list[float]] = {}
        for name, people in (
            ("training", self.labeler.people),
            ("held_out", self.labeler.held_out),
        ):
            if people:
                rated = [
                    [likert(self.labeler.utility(person, p, text)) for person in people]
                    for p, text in pairs
                ]
                values[f"likert/{name}"] = [sum(row) / len(row) for row in rated]
        measures: dict[str, Measure] = {
            name: intervals.bounded_mean(column, 1.0, 7.0) for name, column in values.items()
        }
        flags = [self.gold.flags(prompt, text) for prompt, text in pairs]
        for name in dict.fromkeys(name for row in flags for name in row):
            measures[f"flags/{name}"] = intervals.share([row[name] for row in flags if name in row])
        return Evaluation(measures, values)
