"""What the report says beside its pictures, as tables of plain text: the page and the Markdown file show the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab_builtin.report.accounts import accounts
from preflab_builtin.report.arms import Arm, is_seed
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.costs import StageCost, scaled
from preflab_builtin.report.runs import Failure
from preflab_builtin.report.tables import NOTHING, claimed

SAMPLES = 8
"""Prompts that are shown with all arms' responses."""
_SHOWN_VALUES = (
    ("gold/gold", "utility"),
    ("reward/proxy", "reward"),
    ("win_rate/labelers", "preferred by"),
)


@dataclass(frozen=True)
class Grid:
    """A table of plain text. A cell of several lines has its main thing in the first."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Answer:
    """What an arm, or the baseline (number None), said to a prompt, and what is known of it."""

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


def count(number: int, word: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{number} {word}{'s' * (number != 1)}"


def failures(found: Sequence[Failure]) -> Grid:
    """Jobs that gave no result."""
    rows = [
        (
            str(f.folder),
            "" if f.exit_code is None else str(f.exit_code),
            " ".join(f.overrides),
            f.error,
        )
        for f in found
    ]
    return Grid(("folder", "exit code", "overrides", "what happened"), tuple(rows))


def claims(decisions: Sequence[Decision]) -> Grid:
    """What a study set out to decide, and what its intervals say."""
    rows = []
    for d in decisions:
        behind = count(len(d.seeds), "seed") + (
            f", n = {d.estimate.n}" if d.estimate is not None and d.estimate.n else ""
        )
        rows.append((d.claim.statement, d.verdict.value, *claimed(d), behind, d.claim.measure))
    return Grid(("claim", "verdict", "difference", "95 % interval", "from", "measure"), tuple(rows))


def side_by_side(arms: Sequence[Arm]) -> list[Card]:
    """Responses of all arms (their first runs) to the same prompts; prompts at even distances."""
    by_prompt = [{str(row.get("prompt_id")): row for row in arm.runs[0].samples()} for arm in arms]
    by_arm = [
        (number, arm, rows)
        for number, (arm, rows) in enumerate(zip(arms, by_prompt, strict=True))
        if rows
    ]
    if not by_arm:
        return []
    shared = [key for key in by_arm[0][2] if all(key in rows for _, _, rows in by_arm)] or list(
        by_arm[0][2]
    )
    chosen = [
        shared[i * len(shared) // min(SAMPLES, len(shared))]
        for i in range(min(SAMPLES, len(shared)))
    ]
    cards = []
    for key in chosen:
        rows = [(number, arm, found[key]) for number, arm, found in by_arm if key in found]
        answers = [
            Answer(number, arm.label, str(row.get("response") or ""), _facts(row))
            for number, arm, row in rows
        ]
        baselines = [
            (arm.runs[0].baseline, row) for _, arm, row in rows if row.get("baseline") is not None
        ]
        if baselines:
            answers.append(
                Answer(None, f"baseline ({baselines[0][0]})", str(baselines[0][1]["baseline"]))
            )
        heading = " · ".join([f"prompt {key}", *map(str, rows[0][2].get("tags") or [])])
        cards.append(Card(heading, str(rows[0][2].get("prompt", "")), tuple(answers)))
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
    """Every measure of every arm, for those who look for one that the first table leaves out."""
    rows = []
    for name in sorted({name for arm in arms for name in arm.measures}):
        cells = [name]
        for arm in arms:
            m = arm.measures.get(name)
            bounds = (
                ""
                if m is None or m.low is None or m.high is None
                else f"\n[{m.low:.4f}, {m.high:.4f}]"
            )
            cells.append("" if m is None else f"{m.value:.4f}{bounds}\nn = {m.n}")
        rows.append(tuple(cells))
    return Grid(("measure", *(arm.label for arm in arms)), tuple(rows))


def accounting(arms: Sequence[Arm]) -> Grid:
    """What became of rows and tokens, by record type and stage."""
    rows = [(where, what, *cells) for (where, what), cells in accounts(arms)]
    return Grid(("where", "what", *(arm.label for arm in arms)), tuple(rows))


def costs(found: Sequence[StageCost]) -> Grid:
    """What each stage took, once an artifact, and how often it was reused; what nobody counted is no column."""
    optional = (
        ("tokens", [scaled(c.tokens) for c in found]),
        ("FLOPs", [scaled(c.flops) for c in found]),
        ("peak MB", [f"{c.peak_mb:.0f}" if c.peak_mb else "" for c in found]),
    )
    known = [(heading, cells) for heading, cells in optional if any(cells)]
    rows = []
    for i, c in enumerate(found):
        counts = (str(number) for number in (c.artifacts, c.computed, c.reused))
        rows.append(
            (
                c.stage,
                c.component,
                *counts,
                f"{c.mean:.1f}",
                f"{c.total:.1f}",
                *(cells[i] for _, cells in known),
            )
        )
    head = (
        "stage",
        "component",
        "different results",
        "computed by these runs",
        "reused",
        "seconds each",
        "seconds in all",
    )
    return Grid((*head, *(heading for heading, _ in known)), tuple(rows))


def costs_in_all(found: Sequence[StageCost]) -> str:
    """One sentence below the costs."""
    total, flops = sum(c.total for c in found), sum(c.flops for c in found)
    return f"{total:.0f} s{f' and {scaled(flops)}FLOP' if flops else ''} to make everything once; reuse is free."


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
        rows.append(
            (
                arm.label,
                seeds,
                " ".join(typed) or "none",
                "\n".join(str(run.folder) for run in arm.runs),
            )
        )
    return Grid(("arm", "seeds", "overrides", "run folders"), tuple(rows))


def differences(arms: Sequence[Arm]) -> Grid:
    """Every key of the composed configs in which the arms differ. Left out are the seeds of the run and of its stages, which the
    table of what was run has, and the arm's name; data.seed (another world) and labeler.seed (other people) are shown."""
    configs = [arm.runs[0].config() for arm in arms]
    keys = sorted({key for config in configs for key in config})
    differing = [
        k
        for k in keys
        if len({repr(c.get(k, NOTHING)) for c in configs}) > 1 and not is_seed(k) and k != "arm"
    ]
    return Grid(
        ("key", *(arm.label for arm in arms)),
        tuple((k, *(str(c.get(k, NOTHING)) for c in configs)) for k in differing),
    )
