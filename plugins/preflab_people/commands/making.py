"""A new round: which tasks, for how many people, under which settings."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from preflab.errors import UserError, nearest
from preflab.pool import Pool
from preflab_people.commands.parsing import read_text
from preflab_people.judgments import FLAGS, Task, TaskKind, canonical_digest
from preflab_people.opening import create_store, without_password
from preflab_people.pool import (
    compare_tasks,
    demonstration_tasks,
    equal_prompts,
    pair_tasks,
    rank_tasks,
    read_prepared,
    with_overlap,
)
from preflab_people.rounds import ROUND, STORE, Round, write_round
from preflab_people.server.languages import check_languages
from preflab_people.sources import arm_names, evaluated, joined, sampled_pool
from preflab_people.store import RoundSettings, Screening

TABLE_3 = "instructgpt"
"""Word for the flags of InstructGPT's table 3."""
TRIED, CUT = 10, 0.75
"""Screening tasks a try, and the share of agreement that is enough (InstructGPT, appendix B.1)."""


@dataclass(frozen=True)
class Asked:
    """What people are asked: tasks before gold and overlap. arms: names of what is compared.
    equal: prompts that are left out because all of their responses are equal, see
    `preflab_people.pool.equal_prompts`. versus: see `preflab_people.rounds.Round`."""

    kind: TaskKind
    pool: str
    tasks: tuple[Task, ...]
    arms: tuple[str, ...] = ()
    equal: Mapping[str, str] = field(default_factory=dict)
    versus: str = ""


def shipped(name: str) -> str:
    """A text that comes with preflab."""
    return files("preflab_people").joinpath("texts", f"{name}.md").read_text(encoding="utf8")


def what(kind: TaskKind, runs: Sequence[Path], options: argparse.Namespace) -> Asked:
    """What the runs have for people to do; `UserError` if that is nothing."""
    if kind == "compare":
        return _compared(runs, options)
    if len(runs) > 1:
        raise UserError(
            f"{len(runs)} runs are given, and people {kind} what one has: give one, or compare "
            "them with --task compare."
        )
    for flag in ("pairs", "baseline"):
        if getattr(options, flag):
            raise UserError(f"--{flag} is about comparisons: add --task compare.")
    if kind == "demonstrate":
        from preflab_people.prompts import training_prompts

        prompts = training_prompts(runs[0])
        tasks = demonstration_tasks(prompts, options.tasks)
        pool = canonical_digest([task.prompt.text for task in demonstration_tasks(prompts)])
        return Asked(kind, pool, tuple(tasks))
    sampled = sampled_pool(runs[0])
    return _of_pool(kind, sampled, rank_tasks(sampled, options.tasks), options)


def _compared(runs: Sequence[Path], options: argparse.Namespace) -> Asked:
    baseline = options.baseline or len(runs) == 1
    given = [evaluated(run) for run in runs]
    names = arm_names(given)
    together = joined(given, names, baseline)
    arms = sorted({name for row in together.arms for group in row for name in group})
    if options.pairs:
        if options.pairs not in arms:
            raise UserError(f"--pairs {options.pairs}: {nearest(options.pairs, arms)}")
        tasks = pair_tasks(together, options.pairs, options.tasks)
    else:
        tasks = compare_tasks(together, options.tasks)
    asked = _of_pool("compare", together.pool, tasks, options)
    return replace(asked, arms=tuple(arms), versus=_opponent(names, options.pairs, baseline))


def _opponent(names: Sequence[str], pairs: str | None, baseline: bool) -> str:
    """What the first of the runs is compared with when it goes on; "" if the evaluator knows it:
    the baseline that people judged, or the other one of two runs."""
    if pairs and pairs != names[0]:
        return pairs
    return "" if baseline or len(names) == 2 else names[1]


def _of_pool(
    kind: TaskKind, pool: Pool, tasks: Sequence[Task], options: argparse.Namespace
) -> Asked:
    equal = equal_prompts(pool, options.tasks)
    if not tasks:
        what = "the runs gave" if kind == "compare" else "were sampled"
        raise UserError(
            f"There is nothing to {kind}: to each of {len(pool.answered)} prompts equal texts "
            f"{what}."
        )
    return Asked(kind, pool.digest, tuple(tasks), equal=equal)


def make(
    name: str, folder: Path, asked: Asked, runs: Sequence[Path], options: argparse.Namespace
) -> Round:
    """Make the round in its folder: store, instructions, settings. Whatever is wrong is said before
    anything is written."""
    tasks, settings = prepared(name, asked, options)
    text = read_text(options.instructions) if options.instructions else shipped(asked.kind)
    store_at = without_password(options.database) if options.database else STORE
    shown = tuple(str(run) for run in runs)
    made = Round(
        name, asked.kind, asked.pool, shown, store_at, equal=asked.equal, versus=asked.versus
    )
    now = time.time()
    if store_at == STORE and (folder / STORE).exists():
        raise UserError(
            f"{folder / STORE} is there, without the {ROUND} that belongs to it. Put that back, if "
            "people have labeled there; or remove the store, or give another --name."
        )
    with create_store(folder, made, settings, tasks, now) as store:
        store.add_instructions(text, now)
    write_round(folder, made)
    return made


def prepared(
    name: str, asked: Asked, options: argparse.Namespace
) -> tuple[list[Task], RoundSettings]:
    """The tasks and settings of a round."""
    languages = check_languages(options.language or ["en"])
    _check_texts(languages, options)
    flags = _flags(options.flags)
    overlap = 0.0 if asked.kind == "demonstrate" else options.overlap
    tasks = with_overlap(asked.tasks, overlap, options.labels)
    gold: list[Task] = []
    tried: list[Task] = []
    if options.gold:
        answers = read_prepared(options.gold, asked.kind, tasks)
        gold, tried = list(answers.gold), list(answers.screening)
        _check_flags([*gold, *tried], flags, options.gold)
    screening = Screening(min(TRIED, len(tried)), options.cut) if tried else None
    consent = read_text(options.consent) if options.consent else shipped("consent")
    settings = RoundSettings(
        name=name,
        kind=asked.kind,
        pool=asked.pool,
        flags=flags,
        likert=options.likert,
        gold_share=options.gold_share if gold else 0.0,
        retest_share=0.0 if asked.kind == "demonstrate" else options.retest_share,
        screening=screening,
        consent=consent,
        languages=languages,
    )
    return [*tasks, *gold, *tried], settings


def _check_texts(languages: Sequence[str], options: argparse.Namespace) -> None:
    """`UserError` for pages in a language in which there is no text for people to agree to."""
    others = [language for language in languages if language != "en"]
    missing = [f"--{one} FILE" for one in ("consent", "instructions") if not getattr(options, one)]
    if others and missing:
        raise UserError(
            f"--language {others[0]}: the pages speak it, but the consent text and the "
            f"instructions that come with preflab are in English. Add {' and '.join(missing)}: "
            "your texts, in the languages of your people."
        )


def _flags(given: str | None) -> tuple[str, ...]:
    """Names of flags: those of table 3, or the lines of a file."""
    if given is None:
        return ()
    if given == TABLE_3:
        return FLAGS
    lines = read_text(Path(given)).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"{given}: the flag {doubled!r} is there twice.")
    return tuple(names)


def _check_flags(tasks: Sequence[Task], flags: Sequence[str], path: Path) -> None:
    for task in tasks:
        used = {name for names in task.expected.flags for name in names} if task.expected else set()
        unknown = sorted(used - set(flags))
        if unknown:
            raise UserError(
                f"{path}: the flag {unknown[0]!r} is none of this round. "
                f"{nearest(unknown[0], flags)} --flags FILE names others."
            )
