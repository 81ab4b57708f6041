"""The command ``plan``: what jobs would make, what they would reuse, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from preflab.console.tables import show

if TYPE_CHECKING:
    from preflab.planning.run import Run, Stage

REUSED, TO_COMPUTE, TO_RESUME = "reused", "to compute", "to resume"


@dataclass
class _Use:
    """A stage and the jobs that use it, by number."""

    stage: Stage
    jobs: dict[int, Run] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """One of the jobs."""
        return next(iter(self.jobs.values()))

    def status(self) -> str:
        """What becomes of it now. One job that can make it is enough."""
        from preflab.storage.artifacts import Store

        run = self.run
        store = Store(run.store_root)
        if store.find(self.stage.name, self.stage.recipe_id):
            return REUSED
        ids = [{stage.recipe_id for stage in run.reachable} for run in self.jobs.values()]
        if not any(self.stage.recipe_id in reachable for reachable in ids):
            held = self.stage.waits_for.key if self.stage.waits_for else run.held and run.held.name
            return f"waits for {held}"
        started = store.progress(self.stage.name, self.stage.recipe_id)
        return TO_RESUME if started else TO_COMPUTE


def plan(arguments: list[str]) -> int:
    """plan [--gflops N] OVERRIDES...: what a run, a multirun or a study would compute, what it
    would reuse, and what it takes; N: billions of operations per second of all processes"""
    from rich.table import Table

    from preflab.composing.compose import parse
    from preflab.console import plan_estimates as estimates
    from preflab.jobs import gpus
    from preflab.jobs.adding_seeds import seeds_ahead
    from preflab.jobs.ahead import notices
    from preflab.jobs.execution import quiet_libraries
    from preflab.jobs.places import check_places
    from preflab.jobs.searching import search_ahead
    from preflab.planning.claims import check_claims
    from preflab.planning.reading import check_jobs

    words, speed = estimates.taken_speed(arguments)
    jobs = check_jobs(line := parse(words))
    launcher = line.config.hydra.launcher if line.multirun and line.config else None
    gpus.check(launcher, jobs)
    check_places(line, jobs)
    quiet_libraries()
    runs = [job.run for job in jobs]
    claims = check_claims(line, jobs)
    said = notices(jobs, plans=True)  # refused before a table promises it
    title = "1 job" if len(runs) == 1 else f"{len(runs)} jobs, each stage once"
    table = Table(title=title, title_justify="left")
    of_jobs = ["job numbers"] if len(runs) > 1 else []
    for column in ("stage", "component", "seed", "id", *of_jobs, "status"):
        table.add_column(column)
    uses = _uses(runs)
    order, statuses, ahead = [spec.name for spec in runs[0].graph], list[str](), list[_Use]()
    for use in sorted(uses.values(), key=lambda use: order.index(use.stage.name)):
        stage, numbers = use.stage, [", ".join(map(str, use.jobs))] * len(of_jobs)
        statuses.append(use.status())
        ahead += [use] if statuses[-1] in (TO_COMPUTE, TO_RESUME) else []
        cells = (stage.name, stage.choice.name, str(stage.seed), stage.recipe_id[:16])
        table.add_row(*cells, *numbers, statuses[-1])
    show(table)
    to_compute = sum(status in (TO_COMPUTE, TO_RESUME) for status in statuses)
    total, reused = sum(len(run.stages) for run in runs), statuses.count(REUSED)
    wait = len(statuses) - to_compute - reused
    shared = f" in place of {total} without sharing" if total > len(uses) else ""
    print(
        f"{len(uses)} stage{'s' * (len(uses) != 1)}{shared}; {to_compute} to compute"
        f"{f', {wait} waiting' if wait else ''}."
    )
    study = runs[0].study
    adds = [*line.said, *claims, *(search_ahead(line.search) if line.search else ())]
    adds += [seeds_ahead(study.seeds)] if line.multirun and study and study.seeds else []
    for sentence in estimates.sentences([(use.run, use.stage) for use in ahead], speed):
        print(sentence)
    for notice in [*estimates.refusals(jobs, launcher), *adds, *_waiting(runs), *said]:
        print(f"- {notice}")
    if pinned := [s.name for s in runs[0].stages if s.seed != runs[0].settings.seed]:
        names = ", ".join(pinned)
        print(f"Pinned seeds: {names}. Intervals over seeds do not include their variance.")
    return 0


def _uses(runs: Sequence[Run]) -> dict[str, _Use]:
    """Every stage once, by its recipe id, with the jobs that use it."""
    uses: dict[str, _Use] = {}
    for number, run in enumerate(runs):
        for stage in run.stages:
            uses.setdefault(stage.recipe_id, _Use(stage)).jobs[number] = run
    return uses


def _waiting(runs: Sequence[Run]) -> list[str]:
    """What the jobs wait for, each sentence once."""
    from preflab.planning.asking import FOLDER_MARK, waiting

    held = ((run.held, run.held.waits_for) for run in runs if run.held)
    waits = (f"{stage.name} waits for {waiting(choice)}" for stage, choice in held if choice)
    return list(dict.fromkeys(sentence.replace(FOLDER_MARK, "RUN") for sentence in waits))
