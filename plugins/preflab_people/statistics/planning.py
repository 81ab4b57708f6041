"""How much labeling decides what: hours of people, half-widths of intervals, and the smallest
difference that is found.

One formula. The verdict of one person on one prompt has the variance 1/4 at a win rate of 0.5. If
two people who take a side agree with probability g, then (1 - g) / 2 of it is between people on one
prompt, and the rest between prompts: more people on a prompt make only the first smaller. With n
labels a prompt on average over P prompts

    s^2 = (1/4 - (1 - g) / 2 + E[1 / n] (1 - g) / 2) / P

and the half-width is 1.96 s; a difference from 0.5 of (1.96 + 0.84) s is found with a power of
80 %. Prompts are taken as independent, and people as a given set: where their tastes differ, the
interval that `status` prints is wider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from preflab.intervals import LEVEL, t_quantile
from preflab_people.judgments import TaskKind

AGREEMENT = 0.73
"""Of two people who take a side: InstructGPT's training labelers (section 3.4)."""
POWER = 0.8
SHARED = 0.1
"""Correlation of agreement on two pairs that share a response, in rankings whose utilities and
errors are normal (Thurstone 1927; 0.086 to 0.10 at agreements of 0.71 to 0.63)."""
SECONDS = 90.0
"""A task, until people have shown how long it takes them."""


@dataclass(frozen=True)
class Plan:
    """What labeling costs and decides. tasks: prompts; overlap: labels a prompt on average;
    seconds: a label. hours: of people. half_width: of a win rate's interval. finds: the smallest
    distance of a win rate from 0.5 that is found with a power of 80 %. agreement: half-width of the
    agreement of people who take a side; nan without prompts that two people judge."""

    tasks: int
    overlap: float
    seconds: float
    hours: float
    half_width: float
    finds: float
    agreement: float

    def sentence(self, kind: TaskKind = "compare") -> str:
        """The plan in one line: what a comparison finds, or how well rankings tell whether people
        agree.

        >>> plan(400, overlap=1.2).sentence()
        '400 tasks x 1.2 labels, 90 s each: 12 h of people; finds a win rate 7 points from 50 %'
        >>> plan(400, overlap=1.2).sentence("rank").partition("; ")[2]
        'tells the agreement of two people to within 10 points'
        """
        decides = f"finds a win rate {_points(self.finds)} points from 50 %"
        if kind != "compare":
            decides = (
                f"tells the agreement of two people to within {_points(self.agreement)} points"
            )
            if math.isnan(self.agreement):
                decides = "no two people judge the same, so that their agreement will not be known"
        tasks = f"{self.tasks} task{'' if self.tasks == 1 else 's'}"
        labels = f"{self.overlap:.3g} label{'' if self.overlap == 1 else 's'}"
        return (
            f"{tasks} x {labels}, {self.seconds:.0f} s each: {self.hours:.3g} h of people; "
            f"{decides}"
        )


def plan(
    tasks: int,
    overlap: float = 1.0,
    seconds: float = SECONDS,
    responses: int = 2,
    agreement: float = AGREEMENT,
) -> Plan:
    """What a number of tasks costs and decides. responses: K of a task."""
    s = standard_error(tasks, overlap, agreement)
    doubly = round(tasks * min(1.0, overlap - 1)) if overlap > 1 else 0
    return Plan(
        tasks=tasks,
        overlap=overlap,
        seconds=seconds,
        hours=tasks * overlap * seconds / 3600,
        half_width=t_quantile(math.inf) * s,
        finds=_with_power() * s,
        agreement=agreement_half_width(doubly, responses, agreement) if doubly else math.nan,
    )


def table(
    tasks: Sequence[int], overlaps: Sequence[float], seconds: float = SECONDS, responses: int = 4
) -> list[Plan]:
    """The plans of numbers of tasks and overlaps."""
    return [plan(n, overlap, seconds, responses) for n in tasks for overlap in overlaps]


def standard_error(tasks: int, overlap: float = 1.0, agreement: float = AGREEMENT) -> float:
    """s of the formula above. overlap: at least 1; of 1.2 a fifth of the prompts has two labels.

    >>> standard_error(400)
    0.025
    """
    whole = math.floor(overlap)
    share = overlap - whole
    once_over_n = (1 - share) / whole + share / (whole + 1)
    within = (1 - agreement) / 2
    return math.sqrt((0.25 - within + once_over_n * within) / tasks)


def tasks_for_half_width(half_width: float, overlap: float = 1.0) -> int:
    """Prompts after which a win rate's interval has this half-width.

    >>> tasks_for_half_width(0.025)
    1537
    """
    return math.ceil((t_quantile(math.inf) * standard_error(1, overlap) / half_width) ** 2)


def tasks_to_find(win_rate: float, overlap: float = 1.0) -> int:
    """Prompts after which this win rate is told from 0.5 with a power of 80 %.

    >>> tasks_to_find(0.55)
    785
    """
    return math.ceil((_with_power() * standard_error(1, overlap) / abs(win_rate - 0.5)) ** 2)


def agreement_half_width(doubly: int, responses: int, agreement: float = AGREEMENT) -> float:
    """Half-width of the agreement of two people on prompts that both ranked. responses: K. Pairs
    that share a response are correlated, so that K (K - 1) / 2 pairs are fewer than they seem.

    >>> round(100 * agreement_half_width(200, 4), 1), round(100 * agreement_half_width(400, 4), 1)
    (3.0, 2.1)
    """
    pairs = responses * (responses - 1) / 2
    inflation = 1 + 2 * (responses - 2) * SHARED
    variance = agreement * (1 - agreement) * inflation / (pairs * doubly)
    return t_quantile(math.inf) * math.sqrt(variance)


def _points(share: float) -> str:
    points = 100 * share
    return f"{points:.{0 if points > 2 else 1}f}"


def _with_power() -> float:
    """Standard errors of a difference that is found with a power of 80 %: 1.96 + 0.84."""
    return float(stats.norm.ppf((1 + LEVEL) / 2) + stats.norm.ppf(POWER))
