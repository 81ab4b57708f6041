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


def add_seeds(line: CommandLine, study: StudyConfig | None, where: Places) -> Places:
    """Run the later blocks of a study until its claims are decided; the folders of all jobs.

    where: those of the first block, which have run. Before each block the study looks at the jobs
    of the blocks before it and at nothing else, so that the same command looks at the same runs
    again after a kill. It stops too where more seeds decide nothing: no run gives an estimate, or
    a whole block failed or waits.
    """
    jobs, last = list(where.jobs), where.jobs
    for number, block in enumerate(line.later):
        assert study is not None
        assert study.seeds is not None
        reason = _why_to_stop(study, study.seeds.looks[number], jobs, last, where.folder)
        if reason:
            _say(reason)
            break
        line = replace(line, jobs=block, first_job=len(jobs))
        last = start(line, check_jobs(line), where.folder).jobs
        jobs += last
    return Places(where.folder, tuple(jobs))


def _why_to_stop(
    study: StudyConfig, seeds: int, jobs: Sequence[Path], last: Sequence[Path], root: Path
) -> str:
    """One sentence if no further block is to be run, else "", and the look is shown. last: the
    folders of the block that has just run."""
    if not any(map(is_complete, last)):
        return f"No job of the last block gave a result: no more seeds after {seeds}."
    waiting = [row for row in read_ledger(root) if row["status"] == "waiting"]
    if any(root / row["folder"] in last for row in waiting):
        return "Jobs wait for people: the same command adds seeds once they go on."
    assert study.seeds is not None
    verdicts = registry().verdicts([job for job in jobs if is_complete(job)])
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
    _say(f"{text}; seeds are added for {', '.join(undecided)} (at most {study.seeds.at_most}).")
    return ""


def _say(text: str) -> None:
    print(f"preflab: {text}", file=sys.stderr)


def seeds_ahead(seeds: SeedsConfig) -> str:
    """What the study will do about its seeds, in one sentence."""
    if len(seeds.looks) == 1:
        return f"The study runs {seeds.at_most} seeds, from {seeds.first}."
    return (
        f"The table has the first {seeds.looks[0]} seeds. The study adds seeds in blocks of "
        f"{seeds.block}, until every claim is decided or there are {seeds.at_most} seeds."
    )
