"""Prompts on which the majorities of groups differ: how many, by tag, and examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from preflab import intervals
from preflab.interfaces import Evaluation
from preflab.records import Prompt
from preflab_builtin.evaluation.forward import question

EXAMPLES = "Responses on which the majorities of groups differ ({0})"
"""The heading of the examples of a measure: two evaluators of one run have them."""


@dataclass(frozen=True)
class Case:
    """Two responses to a prompt, and by group the votes for the first and for the second: numbers
    of people, or their shares; the rest are ties."""

    prompt: Prompt
    first: str
    second: str
    votes: Mapping[str, tuple[float, float]]

    @property
    def apart(self) -> float:
        """How far the two groups that are furthest apart are, from 0 to 2: the difference of their
        shares for the first less those for the second, among those who prefer one."""
        leanings = [(a - b) / (a + b) for a, b in self.votes.values() if a + b]
        return max(leanings, default=0.0) - min(leanings, default=0.0)

    def row(self) -> dict[str, str]:
        """As people read it."""
        said = (f"{name} {a:.3g} : {b:.3g}" for name, (a, b) in self.votes.items())
        return {
            "prompt": self.prompt.text,
            "tags": ", ".join(self.prompt.tags),
            "first": self.first,
            "second": self.second,
            "for the first : for the second": "\n".join(said),
        }


def divided(votes: Iterable[tuple[float, float]]) -> bool:
    """Whether the majority of one group prefers the first response, and that of another the
    second.

    >>> divided([(0.6, 0.4), (0.5, 0.5)]), divided([(0.6, 0.4), (0.4, 0.6)])
    (False, True)
    """
    both = list(votes)
    return any(a > b for a, b in both) and any(a < b for a, b in both)


def division(name: str, cases: Sequence[Case]) -> Evaluation:
    """The measure ``name``, the share of the cases on which majorities differ, and ``name``/TAG,
    that of the cases whose prompt has the tag; the examples are the cases on which they do, the
    furthest apart first. A unit of the intervals is a prompt."""
    by_name = {name: list(cases)}
    for tag in sorted({tag for case in cases for tag in case.prompt.tags}):
        by_name[f"{name}/{tag}"] = [case for case in cases if tag in case.prompt.tags]
    measures = {
        key: intervals.bounded_mean(
            [float(divided(case.votes.values())) for case in own],
            units=[question(case.prompt) for case in own],
        )
        for key, own in by_name.items()
    }
    differ = [case for case in cases if divided(case.votes.values())]
    rows = [case.row() for case in sorted(differ, key=lambda case: -case.apart)]
    return Evaluation(measures, examples={EXAMPLES.format(name): rows} if rows else {})
