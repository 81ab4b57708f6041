"""The tables and texts of the report, without markup: the page and the Markdown file show the
same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.interfaces import Measure
from preflab.intervals import decimals
from preflab.settings import LABELS
from preflab_builtin.report.accounts import accounts, examples
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.columns import is_share
from preflab_builtin.report.costs import TRAINING, StageCost
from preflab_builtin.report.gather import Failure
from preflab_builtin.report.searches import Searched, search_rows
from preflab_builtin.report.wording import NOTHING, count, scaled, short

SAID = "Said before the first stage"
EXAMPLES = 10
"""Examples of one evaluator that are shown."""
SAMPLES = 8
"""Prompts that are shown with all arms' responses."""
_SHOWN_VALUES = (
    ("gold/gold", "utility"),
    ("reward/proxy", "reward"),
    ("win_rate/labelers", "preferred by"),
)


@dataclass(frozen=True)
class Grid:
    """A table of plain text. The first line of a cell is its content, further lines are details."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Answer:
    """What an arm, or the baseline, answered to a prompt, and how it was judged. number: of the
    arm's colour and mark; None: it has none."""

    number: int | None
    who: str
    text: str
    facts: str = ""


@dataclass(frozen=True)
class Card:
    """Answers to one prompt, side by side."""

    heading: str
    prompt: str
    answers: tuple[Answer, ...]


def failures(failed: Sequence[Failure]) -> Grid:
    """Jobs that gave no result."""
    rows = (
        (
            str(failure.folder),
            "" if failure.exit_code is None else str(failure.exit_code),
            " ".join(failure.overrides),
            f"waiting: {failure.error}" if failure.waits else failure.error,
        )
        for failure in failed
    )
    return Grid(("folder", "exit code", "overrides", "what happened"), tuple(rows))


def trials(search: Searched) -> Grid:
    """The trials of a search, in their order."""
    head, rows = search_rows(search)
    return Grid(head, tuple(rows))


def notices(arms: Sequence[Arm]) -> Grid:
    """What was said before the first stage of the runs, and of which arms."""
    said: dict[str, dict[str, None]] = {}
    for arm in arms:
        for notice in (notice for run in arm.runs for notice in run.notices):
            said.setdefault(notice, {})[arm.label] = None
    everywhere = len(arms) > 1
    rows = [
        (text, "all" if everywhere and len(labels) == len(arms) else "\n".join(labels))
        for text, labels in said.items()
    ]
    return Grid((SAID, "arm"), tuple(rows))


def claims(decisions: Sequence[Decision]) -> Grid:
    """The claims of a study, and what their intervals decide."""
    corrected = corrections(decisions)
    rows = []
    for d, more in zip(decisions, corrected.rows, strict=True):
        n = f", n = {d.estimate.n}" if d.estimate is not None and d.estimate.n else ""
        persons = d.difference.persons if d.difference else 0
        said_by = f", {count(persons, 'labeler')}" if persons else ""
        source = f"{count(d.number_of_seeds, 'seed')}{n}{said_by}"
        rows.append(
            (d.claim.statement, d.verdict.value, *claimed(d), *more, source, d.claim.measure)
        )
    head = ("claim", "verdict", "difference", "95 % interval", *corrected.head, "from", "measure")
    return Grid(head, tuple(rows))


def corrections(decisions: Sequence[Decision]) -> Grid:
    """Columns beside the plain intervals: for repeated looks if there were any, and for the number
    of claims if there are several."""
    columns = []
    if any(d.for_looks for d in decisions):
        intervals = [claimed(d, d.for_looks)[1] if d.for_looks else NOTHING for d in decisions]
        columns.append(("for all looks", intervals))
    if len(decisions) > 1:
        columns.append(("after Holm", [_after_holm(d) for d in decisions]))
    rows = zip(*(cells for _, cells in columns), strict=True)
    return Grid(tuple(name for name, _ in columns), tuple(rows) or ((),) * len(decisions))


def _after_holm(decision: Decision) -> str:
    if math.isnan(decision.p_holm):
        return NOTHING
    p = "p < 0.001" if decision.p_holm < 0.001 else f"p = {decision.p_holm:.3f}"
    return f"{decision.after_holm.value}, {p}"


def claimed(decision: Decision, corrected: Measure | None = None) -> tuple[str, str]:
    """A claim's difference and its interval as text, or why there is none. corrected: an interval
    to show in the place of its own."""
    estimate = corrected or decision.estimate
    if estimate is None:
        return NOTHING, decision.why
    if decision.claim.measure.startswith(TRAINING):
        ends = f"[{short(estimate.low, '+')}, {short(estimate.high, '+')}]"
        return short(estimate.value, "+"), ends if decision.has_interval else decision.why
    scale, digits, unit = unit_of(decision.claim.measure)
    low, high = scale * estimate.low, scale * estimate.high
    digits = decimals(low, high, digits)
    difference = f"{scale * estimate.value:+.{digits}f}{unit}"
    if not decision.has_interval:
        return difference, decision.why
    return difference, f"[{low:+.{digits}f}, {high:+.{digits}f}]"


def unit_of(measure: str) -> tuple[float, int, str]:
    """How differences in a measure are written: factor, decimals, unit."""
    return (100.0, 1, " points") if is_share(measure) else (1.0, 3, "")


def remarks(decisions: Sequence[Decision]) -> list[str]:
    """What to know of decisions with an interval: seeds left out, a curve read beyond its end."""
    return [f"{d.claim.statement}: {d.why}." for d in decisions if d.why and d.has_interval]


def shown_examples(arms: Sequence[Arm]) -> list[tuple[str, Grid]]:
    """By heading, the first examples that evaluators show, of the first run that has some."""
    found: dict[str, tuple[str, Grid]] = {}
    for run in (run for arm in arms for run in arm.runs):
        for heading, rows in run.examples().items():
            shown = rows[:EXAMPLES]
            head = tuple(shown[0])
            grid = Grid(head, tuple(tuple(row.get(key, "") for key in head) for row in shown))
            where = f"artifacts/evaluation/examples.jsonl of {run.folder} has all"
            where = f"{heading} ({len(shown)} of {len(rows)}; {where})"
            found.setdefault(heading, (where, grid))
    return list(found.values())


def side_by_side(arms: Sequence[Arm]) -> list[Card]:
    """Responses of the arms (their first runs) to the same prompts, prompts at even distances. Of
    many arms only those that have a colour of their own."""
    shown_arms = [arm for arm in arms if arm.number is not None] or arms
    samples = [
        (arm.number, arm, {str(row.get("prompt_id")): row for row in arm.runs[0].samples()})
        for arm in shown_arms
    ]
    samples = [entry for entry in samples if entry[2]]
    if not samples:
        return []
    first = samples[0][2]
    shared = [key for key in first if all(key in rows for *_, rows in samples)] or list(first)
    shown = min(SAMPLES, len(shared))
    cards = []
    for key in (shared[i * len(shared) // shown] for i in range(shown)):
        rows = [(number, arm, rows[key]) for number, arm, rows in samples if key in rows]
        answers = [
            Answer(number, arm.brief, str(row.get("response") or ""), _facts(row))
            for number, arm, row in rows
        ]
        for _, arm, row in rows:
            if row.get("baseline") is not None:
                who = f"baseline ({arm.runs[0].baseline})"
                answers.append(Answer(None, who, str(row["baseline"])))
                break
        prompt = rows[0][2]
        name = key if key.startswith("prompt") else f"prompt {key}"
        heading = " · ".join([name, *map(str, prompt.get("tags") or [])])
        cards.append(Card(heading, str(prompt.get("prompt", "")), tuple(answers)))
    return cards


def _facts(row: Mapping[str, Any]) -> str:
    values = row.get("values") or {}
    facts = [
        f"{label} {values[name]:.2f}"
        for name, label in _SHOWN_VALUES
        if isinstance(values.get(name), (int, float))
    ]
    return " · ".join([*facts, *(["cut at the cap"] if row.get("terminated") is False else [])])


def measures(arms: Sequence[Arm]) -> Grid:
    """Every measure of every arm, also those that the first table leaves out."""
    rows = []
    for name in sorted({name for arm in arms for name in arm.measures}):
        cells = [name]
        for arm in arms:
            m = arm.measures.get(name)
            if m is None:
                cells.append("")
                continue
            value, low, high = _written(name, m)
            none = [] if name.startswith(TRAINING) else ["no interval"]
            bounds = [f"[{low}, {high}]"] if math.isfinite(m.low) else none
            cells.append("\n".join([value, *bounds, f"n = {m.n}"]))
        rows.append(tuple(cells))
    return Grid(("measure", *(arm.label for arm in arms)), tuple(rows))


def _written(name: str, m: Measure) -> Sequence[str]:
    """A measure's value and the ends of its interval as text."""
    if name.startswith(TRAINING):
        return [short(number) for number in (m.value, m.low, m.high)]
    digits = decimals(m.low, m.high, 4)
    return [f"{number:.{digits}f}" for number in (m.value, m.low, m.high)]


def accounting(arms: Sequence[Arm]) -> Grid:
    """What became of rows and tokens, by record type and stage."""
    rows = [(where, what, *cells) for (where, what), cells in accounts(arms)]
    return Grid(("where", "what", *(arm.label for arm in arms)), tuple(rows))


def left_out(arms: Sequence[Arm]) -> Grid:
    """Examples of what the filters left out, by record type and reason."""
    rows = [(where, reason, "\n".join(shown)) for (where, reason), shown in examples(arms)]
    return Grid(("records", "filter: reason", "for example"), tuple(rows))


def costs(stage_costs: Sequence[StageCost]) -> Grid:
    """What each stage took, once per artifact, and how often it was reused; only what was
    counted."""
    columns = (
        ("stage", [c.stage for c in stage_costs]),
        ("component", [c.component for c in stage_costs]),
        ("different results", [str(c.artifacts) for c in stage_costs]),
        ("computed by these runs", [str(c.computed) for c in stage_costs]),
        ("reused", [str(c.reused) for c in stage_costs]),
        ("seconds each", [f"{c.mean:.1f}" for c in stage_costs]),
        ("seconds in all", [f"{c.total:.1f}" for c in stage_costs]),
        ("tokens", [scaled(c.tokens) for c in stage_costs]),
        ("FLOPs", [scaled(c.flops) for c in stage_costs]),
        ("peak MB", [f"{c.peak_mb:.0f}" if c.peak_mb else "" for c in stage_costs]),
    )
    known = [(heading, cells) for heading, cells in columns if any(cells)]
    return Grid(
        tuple(heading for heading, _ in known),
        tuple(zip(*(cells for _, cells in known), strict=True)),
    )


def costs_in_all(stage_costs: Sequence[StageCost]) -> str:
    """One sentence below the costs."""
    total, flops = sum(c.total for c in stage_costs), sum(c.flops for c in stage_costs)
    work = f" and {scaled(flops)}FLOP" if flops else ""
    return f"{total:.0f} s{work} to make everything once; reuse is free."


def overrides(arms: Sequence[Arm]) -> Grid:
    """What was typed for each arm, and where its runs are."""
    rows = []
    for arm in arms:
        typed = [
            word
            for word in arm.runs[0].overrides
            if word in arm.overrides or word.lstrip("+").startswith("arm=")
        ]
        seeds = ", ".join(map(str, arm.seeds))
        folders = "\n".join(str(run.folder) for run in arm.runs)
        rows.append((arm.label, seeds, " ".join(typed) or "none", folders))
    return Grid(("arm", "seeds", "overrides", "run folders"), tuple(rows))


def differences(arms: Sequence[Arm]) -> Grid:
    """Every key of the composed configs in which the arms differ.

    Left out are the arm's name and the seeds of the run and of its stages, which the table of what
    was run has. data.seed (another world) and labeler.seed (other people) are shown.
    """
    runs = [arm.runs[0] for arm in arms]
    configs = [run.config() for run in runs]
    left_out = {"arm", *LABELS}.union(*(run.seed_keys for run in runs))
    keys = sorted({key for config in configs for key in config} - left_out)
    rows = [(key, [config.get(key, NOTHING) for config in configs]) for key in keys]
    differing = ((key, *map(str, row)) for key, row in rows if len(set(map(repr, row))) > 1)
    return Grid(("key", *(arm.label for arm in arms)), tuple(differing))
