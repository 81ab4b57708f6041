"""What came out, in sentences: the first thing that a reader of the report sees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from preflab.study import Verdict
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.choosing import chosen, contrast
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.columns import Column
from preflab_builtin.report.contents import claimed
from preflab_builtin.report.wording import count, shortened

MOST_NAMED = 6
"""Claims of one verdict that are named, and measures of one run."""
MOST_DIFFERENCES = 3
LONGEST_NAME = 60
DEBUG = "Made with debug=fast: it shows that everything runs, and no number means anything."


def findings(
    arms: Sequence[Arm], decisions: Sequence[Decision], measures: Sequence[str]
) -> list[str]:
    """Sentences on what came out: the verdicts of the claims; without claims the main differences
    between the arms, or the main measures of a single one. measures: those of the claims."""
    if decisions:
        return [" ".join(_verdicts(decisions)), *_named(decisions)]
    shown = chosen(arms, measures)
    if not arms:
        return ["No job gave a result."]
    if not shown:
        return ["No run has measured anything (evaluation=none)."]
    return [" ".join(_differences(arms, shown)) if len(arms) > 1 else _single(arms[0], shown)]


def _verdicts(decisions: Sequence[Decision]) -> Iterator[str]:
    """How many claims have which verdict, and from how many seeds."""
    numbers = {v: sum(d.verdict == v for d in decisions) for v in Verdict}
    says = {Verdict.holds: ("holds", "hold"), Verdict.fails: ("fails", "fail")}
    says[Verdict.undecided] = ("is undecided", "are undecided")
    says[Verdict.unanswered] = ("is unanswered", "are unanswered")
    parts = [f"{n} {says[v][n > 1]}" for v, n in numbers.items() if n]
    if len(decisions) == 1:
        yield f"The claim {says[decisions[0].verdict][0]}."
    elif len(parts) == 1:
        every = "Both" if len(decisions) == 2 else f"All {len(decisions)}"
        yield f"{every} claims {says[decisions[0].verdict][1]}."
    else:
        yield f"Of {count(len(decisions), 'claim')} {', '.join(parts[:-1])} and {parts[-1]}."
    decided = [d for d in decisions if d.verdict in (Verdict.holds, Verdict.fails)]
    if decided and all(d.number_of_seeds == 1 for d in decided):
        yield (
            "Each verdict is from one seed: it is about other prompts and questions, and says "
            "nothing about other seeds."
        )


def _named(decisions: Sequence[Decision]) -> Iterator[str]:
    """The claims by verdict, with their differences."""
    for verdict in Verdict:
        title = verdict.value.capitalize()
        of_it = [d for d in decisions if d.verdict == verdict]
        texts = [_claim(d) for d in of_it[:MOST_NAMED]]
        if more := len(of_it) - len(texts):
            texts.append(f"{more} more")
        if texts:
            yield f"{title}: {'; '.join(texts)}."


def _claim(decision: Decision) -> str:
    """The claim with its difference, if that decides it."""
    if decision.verdict in (Verdict.undecided, Verdict.unanswered):
        return decision.claim.statement
    return f"{decision.claim.statement} ({claimed(decision)[0]})"


def _differences(arms: Sequence[Arm], shown: Sequence[Column]) -> Iterator[str]:
    """The measures in which the arms differ most, with both ends."""
    differing = [column for column in shown if contrast(column, arms) > 0][:MOST_DIFFERENCES]
    if not differing:
        yield f"{count(len(arms), 'arm')} were compared; in no measure do they differ."
        return
    for column in differing:
        having = [(m.value, arm) for arm in arms if (m := column.of(arm))]
        low = min(having, key=lambda pair: pair[0])[1]
        high = max(having, key=lambda pair: pair[0])[1]
        yield (
            f"{_title(column)} is highest for {_name(high)} ({_number(column, high)}) and lowest "
            f"for {_name(low)} ({_number(column, low)}); {_apart(column, low, high)}."
        )
    yield "No claim was declared: these are the largest differences, and none of them was tested."


def _apart(column: Column, low: Arm, high: Arm) -> str:
    below, above = column.of(low), column.of(high)
    if below is None or above is None:
        return "there are no intervals"
    known = math.isfinite(below.high) + math.isfinite(above.low)
    if known < 2:
        return "one of them has no interval" if known else "there are no intervals"
    if below.high < above.low:
        return "their intervals do not overlap"
    return "their intervals overlap"


def _single(arm: Arm, shown: Sequence[Column]) -> str:
    """The main measures of an arm alone."""
    values = [f"{_inside(_title(column))} {_number(column, arm)}" for column in shown[:MOST_NAMED]]
    runs = arm.runs
    seeds = f"seed {runs[0].draw.label}" if len(runs) == 1 else f"{len(runs)} seeds"
    return f"{_name(arm)}, {seeds}: {'; '.join(values)}. There is nothing to compare it with."


def _title(column: Column) -> str:
    """A measure as the subject of a sentence."""
    named = {
        "reward/proxy": "Proxy reward",
        "gold/gold": "True utility (simulated)",
        "kl/reference": "KL to the reference in nats",
        "length/tokens": "Length in tokens",
        "length/terminated": "Share of responses that ended",
        "families/mean": "Accuracy on pretraining tasks",
        "document_loss/all": "Loss on held-out text",
    }
    return named.get(column.measure, f"{column.group}, {column.heading},")


def _inside(title: str) -> str:
    """A title within a sentence: abbreviations stay."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _number(column: Column, arm: Arm) -> str:
    return f"{column.value(arm)} {column.bounds(arm)}".strip()


def _name(arm: Arm) -> str:
    return shortened(arm.brief, LONGEST_NAME)
