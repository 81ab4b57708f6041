"""A study that tries values by itself: block after block, each proposed from the results of those
before it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from preflab.composing.compose import CommandLine
from preflab.composing.sweeping import Search, Values
from preflab.errors import SweepError, UserError, nearest
from preflab.jobs.adding_seeds import waiting
from preflab.jobs.job import start
from preflab.jobs.places import Places
from preflab.jobs.search_file import facts_of, recorded_trials
from preflab.planning.reading import Job, check_jobs
from preflab.searching import Trial
from preflab.storage.durable import write_json
from preflab.storage.run_folder import SEARCH, is_complete, read_manifest
from preflab.storage.runs import FoundRun

ASKED, DONE, FAILED = "asked", "done", "failed"


@dataclass(frozen=True)
class Tried:
    """A trial of a search. folders: of its jobs, as seen from the multirun's; state: asked (its
    jobs have not ended), done, failed; by_seed: the objective of each of its jobs; objective: their
    mean; why: why it failed."""

    values: Values
    folders: tuple[str, ...] = ()
    state: str = ASKED
    by_seed: tuple[float, ...] = ()
    objective: float | None = None
    why: str = ""

    @property
    def trial(self) -> Trial:
        """What the sampler is told of it."""
        return Trial(self.values, self.objective)


def go_on_searching(line: CommandLine, where: Places) -> Places:
    """Run the later blocks of a search; the folders of all jobs. where: those of the first block,
    which have run.

    A trial that the folder's ``search.json`` has from an earlier process is not proposed anew, so
    that a search that was killed goes on with the same trials whatever its jobs give now.
    """
    search = line.search
    assert search is not None
    earlier = recorded_trials(where.folder)
    folders, last = list(where.jobs), list(where.jobs)
    block: Sequence[Values] = search.first
    tried, refused = [Tried(values) for values in block], dict[int, str]()
    while True:
        begun = len(tried) - len(block)
        tried[begun:] = _told(search, tried[begun:], last, where.folder, refused)
        if reason := _why_to_stop(search, tried, tried[begun:], last, where.folder):
            _write(where.folder, search, tried)
            _say(reason)
            return Places(where.folder, tuple(folders))
        number = min(search.config.block, search.config.trials - len(tried))
        block = earlier[len(tried) : len(tried) + number]
        if len(block) < number:
            told = [t.trial for t in tried]
            block = [*block, *search.propose(told, number)[len(block) :]]
        line, jobs, refused = _checked(line, search, block, len(folders))
        tried += [Tried(values) for values in block]
        _write(where.folder, search, tried)
        last = list(start(line, jobs, where.folder).jobs) if jobs else []
        folders += last


def _checked(
    line: CommandLine, search: Search, block: Sequence[Values], first_job: int
) -> tuple[CommandLine, list[Job], dict[int, str]]:
    """The jobs of a block that can be run, and why the others of its trials, by their number in it,
    cannot."""
    jobs, refused = list[Job](), dict[int, str]()
    for number, values in enumerate(block):
        own = replace(line, jobs=search.jobs_of([values]), first_job=first_job)
        try:
            jobs += check_jobs(own)
        except UserError as error:
            refused[number] = str(error)
    words = tuple(tuple(job.overrides) for job in jobs)
    return replace(line, jobs=words, first_job=first_job), jobs, refused


def _told(
    search: Search,
    asked: Sequence[Tried],
    folders: Sequence[Path],
    root: Path,
    refused: Mapping[int, str],
) -> list[Tried]:
    """The trials of a block with what their jobs gave. folders: of all jobs of the block."""
    left, told = list(folders), list[Tried]()
    for number, trial in enumerate(asked):
        if number in refused:
            told.append(replace(trial, state=FAILED, why=refused[number]))
            continue
        own, left = left[: search.seeds], left[search.seeds :]
        named = tuple(str(folder.relative_to(root)) for folder in own)
        values, why = _objectives(search.config.objective, own)
        if why:
            told.append(replace(trial, folders=named, state=FAILED, why=why))
            continue
        mean = math.fsum(values) / len(values)
        told.append(replace(trial, folders=named, state=DONE, by_seed=values, objective=mean))
    return told


def _objectives(measure: str, folders: Sequence[Path]) -> tuple[tuple[float, ...], str]:
    """The objective of each job of a trial; why there is none, "" if there is."""
    found: list[float] = []
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest is None or not is_complete(folder):
            return (), f"job {folder.name} gave no result"
        measures = FoundRun(folder, manifest).measures
        value = (measures.get(measure) or {}).get("value")
        if value is None or not math.isfinite(value):
            lacks = f"{measure} is not a number" if measure in measures else f"no {measure}"
            return (), f"{lacks} in job {folder.name}. {nearest(measure, measures)}"
        found.append(float(value))
    return tuple(found), ""


def _why_to_stop(
    search: Search, tried: Sequence[Tried], block: Sequence[Tried], last: Sequence[Path], root: Path
) -> str:
    """One sentence if no further block is to be run, else "", and how far it is, is said."""
    if last and waiting(last, root):
        return "Jobs wait for people: the same command goes on with the search once they go on."
    found = f"{len(tried)} of {search.config.trials} trials"
    number = best_of(tried, search.config.more)
    if number is not None:
        best = tried[number]
        values = " ".join(f"{key}={value}" for key, value in best.values.items())
        found += f"; the best so far is {values}: {search.config.objective} {best.objective:.4g}"
    if all(trial.state == FAILED for trial in block):
        return f"{found}. No trial of the last block gave a result: {block[0].why}"
    if len(tried) >= search.config.trials:
        return f"{found}."
    _say(f"{found}.")
    return ""


def check_found(root: Path) -> None:
    """`SweepError` if a search has ended and no trial of it has a result: its jobs may all have
    ended well and measured something else. root: the folder of its multirun."""
    facts = json.loads((root / SEARCH).read_bytes())
    tried, name = facts["trials"], facts["objective"]
    if all(trial["state"] == FAILED for trial in tried):
        raise SweepError(
            f"No trial has a result: none of {len(tried)} has given {name}. The first: "
            f"{tried[0]['why']}"
        )


def best_of(tried: Sequence[Tried], more: bool) -> int | None:
    """Number of the trial with the best objective, of equal ones the first; None: there is no
    result."""
    known = {i: trial.objective for i, trial in enumerate(tried) if trial.objective is not None}
    return (max if more else min)(known, key=lambda i: known[i]) if known else None


def _write(root: Path, search: Search, tried: Sequence[Tried]) -> None:
    """search.json in the folder of the multirun, where reports find it."""
    facts = facts_of(search) | {
        "trials_planned": search.config.trials,
        "seeds": search.seeds,
        "best": best_of(tried, search.config.more),
        "importance": search.importance([t.trial for t in tried if t.state != ASKED]),
        "trials": [asdict(trial) for trial in tried],
    }
    write_json(root / SEARCH, facts)


def _say(text: str) -> None:
    print(f"preflab: {text}", file=sys.stderr)


def search_ahead(search: Search) -> list[str]:
    """What a search will do, in sentences."""
    config = search.config
    best = "the more, the better" if config.more else "the less, the better"
    over = f", mean over {search.seeds} seeds" if search.seeds > 1 else ""
    first = len(search.first)
    lines = [f"The search is for {config.objective} ({best}{over}), in {config.trials} trials."]
    if first < config.trials:
        lines.append(
            f"The table has the first {first} trials. The others are proposed by {config.sampler} "
            f"in blocks of {config.block}, each from the results before it."
        )
    else:
        lines.append(f"All {first} trials are proposed by {config.sampler} at once.")
    return lines
