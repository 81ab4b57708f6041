"""A study that adds seeds by itself: block after block, until its claims are decided."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflab.composing.compose import CommandLine
from preflab.composing.search_path import registry
from preflab.jobs.job import start
from preflab.jobs.places import Places
from preflab.planning.reading import check_jobs
from preflab.storage.run_folder import is_complete, read_ledger
from preflab.study import SeedsConfig, StudyConfig, Verdict


def add_seeds(
    line: CommandLine, study: StudyConfig | None, where: Places, fast: bool = False
) -> Places:
    """Run the later blocks of a study until its claims are decided; the folders of all jobs.

    where: those of the first block, which have run. fast: with debug=fast, where no number of seeds
    decides anything. Before each block the study looks at the jobs of the blocks before it and at
    nothing else, so that the same command looks at the same runs again after a kill. It stops too
    where more seeds decide nothing: no run gives an estimate, or a whole block failed or waits. At
    the most seeds that it may have, it says what is undecided.
    """
    if not line.later:
        return where
    assert study is not None
    assert study.seeds is not None
    jobs, last = list(where.jobs), where.jobs
    for number, block in enumerate((*line.later, None)):
        seeds = study.seeds.looks[number]
        reason = _why_to_stop(study, seeds, jobs, last, where.folder, fast)
        if reason:
            _say(reason)
            break
        assert block is not None  # at the last look there is a reason
        line = replace(line, jobs=block, first_job=len(jobs))
        last = start(line, check_jobs(line), where.folder).jobs
        jobs += last
    return Places(where.folder, tuple(jobs))


def _why_to_stop(
    study: StudyConfig,
    seeds: int,
    jobs: Sequence[Path],
    last: Sequence[Path],
    root: Path,
    fast: bool,
) -> str:
    """One sentence if no further block is to be run, else "", and the look is shown. last: the
    folders of the block that has just run."""
    if not any(map(is_complete, last)):
        return f"No job of the last block gave a result: no more seeds after {seeds}."
    if waiting(last, root):
        return "Jobs wait for people: the same command adds seeds once they go on."
    assert study.seeds is not None
    complete = [job for job in jobs if is_complete(job)]
    verdicts = registry().verdicts(complete)
    if not verdicts:
        return f"No installed plugin decides claims: no more seeds after {seeds}."
    wanted = study.seeds.claims or list(study.claims)
    by_name = {name: verdicts.get(name, Verdict.unanswered.value) for name in wanted}
    unanswered = [name for name, v in by_name.items() if v == Verdict.unanswered]
    undecided = [name for name, v in by_name.items() if v == Verdict.undecided]
    decided = len(by_name) - len(unanswered) - len(undecided)
    text = f"{seeds} seeds: {decided} of {len(by_name)} claims decided"
    if unanswered:
        text += f", and no run that answers {', '.join(unanswered)}, whatever the number of seeds"
    if not undecided:
        return f"{text}. No more seeds."
    if seeds >= study.seeds.at_most and fast:
        return f"{text}. Runs with debug=fast decide nothing, whatever the number of seeds."
    if seeds >= study.seeds.at_most:
        return f"{text}. {_still_undecided(undecided, seeds, complete, root)}"
    _say(f"{text}; seeds are added for {', '.join(undecided)} (at most {study.seeds.at_most}).")
    return ""


def _still_undecided(
    claims: Sequence[str], seeds: int, complete: Sequence[Path], root: Path
) -> str:
    """What is undecided at the end of a study, and how many seeds would decide it."""
    needed = registry().seeds_needed(complete)
    known = [f"{name} ({needed[name]} seeds)" for name in claims if needed.get(name)]
    rest = [name for name in claims if not needed.get(name)]
    told = f"Undecided after {seeds} seeds, the most that the study may have: {', '.join(claims)}."
    if known:
        told += f" As many as these would decide with 80 %: {', '.join(known)}."
    if known and rest:
        told += f" Of {', '.join(rest)} no number is known."
    return f"{told} preflab power {root} says more."


def waiting(folders: Sequence[Path], root: Path) -> bool:
    """Whether one of these jobs of a multirun waits for people."""
    rows = [row for row in read_ledger(root) if row["status"] == "waiting"]
    return any(root / row["folder"] in folders for row in rows)


def _say(text: str) -> None:
    print(f"preflab: {text}", file=sys.stderr)


def seeds_ahead(seeds: SeedsConfig) -> str:
    """What the study will do about its seeds, in one sentence."""
    claims = f"{', '.join(seeds.claims)} are" if len(seeds.claims) > 1 else "every claim is"
    if len(seeds.claims) == 1:
        claims = f"{seeds.claims[0]} is"
    if len(seeds.looks) == 1:
        return f"The study runs {seeds.at_most} seeds, from {seeds.first}."
    return (
        f"The table has the first {seeds.looks[0]} seeds. The study adds seeds in blocks of "
        f"{seeds.block}, until {claims} decided or there are {seeds.at_most} seeds."
    )
