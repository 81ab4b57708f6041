"""The command ``plan``: what jobs would make, what they would reuse, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from preflab.console.tables import show

if TYPE_CHECKING:
    from preflab.planning.run import Run, Stage
    from preflab.planning.sizing import Sized

YARDSTICK = 1e11
"""Operations a second at which a time is named: what two processor cores do in float32, more or
less."""
DISK = 2e8
"""Bytes a second of a checkpoint for the same: made, written and synced."""
REUSED, TO_COMPUTE, TO_RESUME = "reused", "to compute", "to resume"


@dataclass
class _Use:
    """A stage and the jobs that use it, by number."""

    stage: Stage
    jobs: dict[int, Run] = field(default_factory=dict)

    def status(self) -> str:
        """What becomes of it now. One job that can make it is enough."""
        from preflab.storage.artifacts import Store

        run = next(iter(self.jobs.values()))
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
    """plan OVERRIDES...: what a run, a multirun or a study would compute, and what it would
    reuse"""
    from rich.table import Table

    from preflab.composing.compose import parse
    from preflab.jobs import gpus
    from preflab.jobs.adding_seeds import seeds_ahead
    from preflab.jobs.ahead import notices
    from preflab.jobs.execution import quiet_libraries
    from preflab.jobs.places import check_places
    from preflab.jobs.searching import search_ahead
    from preflab.planning.claims import check_claims
    from preflab.planning.reading import check_jobs

    line = parse(arguments)
    jobs = check_jobs(line)
    gpus.check(line.config.hydra.launcher if line.multirun and line.config else None, jobs)
    check_places(line, jobs)
    quiet_libraries()
    runs = [job.run for job in jobs]
    claims = check_claims(line, jobs)
    said = notices(jobs)  # what is refused is refused before a table promises it
    title = "1 job" if len(runs) == 1 else f"{len(runs)} jobs, each stage once"
    table = Table(title=title, title_justify="left")
    of_jobs = ["job numbers"] if len(runs) > 1 else []
    for column in ("stage", "component", "seed", "id", *of_jobs, "status"):
        table.add_column(column)
    uses: dict[str, _Use] = {}
    for number, run in enumerate(runs):
        for stage in run.stages:
            uses.setdefault(stage.recipe_id, _Use(stage)).jobs[number] = run
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
    for sentence in _estimates(ahead):
        print(sentence)
    for notice in [*adds, *_waiting(runs), *said]:
        print(f"- {notice}")
    pinned = [s.name for s in runs[0].stages if s.seed != runs[0].settings.seed]
    if pinned:
        names = ", ".join(pinned)
        print(f"Pinned seeds: {names}. Intervals over seeds do not include their variance.")
    return 0


def _estimates(ahead: Sequence[_Use]) -> list[str]:
    """What the stages that are to be computed may take, and by what that is known."""
    from preflab.planning.estimates import estimate
    from preflab.storage.artifacts import Store

    roots = {run.store_root for use in ahead for run in use.jobs.values()}
    artifacts = [artifact for root in sorted(roots) for artifact in Store(root).complete()]
    found = [(use.stage.name, estimate(use.stage, artifacts)) for use in ahead]
    known = [(name, guess) for name, guess in found if guess is not None]
    unknown = Counter(name for name, guess in found if guess is None)
    new = [use for use, (_, guess) in zip(ahead, found, strict=True) if guess is None]
    if not known:
        return [*(["No earlier run says how long they take."] if found else []), *_by_sizes(new)]
    seconds = duration(sum(guess.seconds for _, guess in known))
    most = max(guess.megabytes for _, guess in known)
    names = ", ".join(f"{n} {name}" if n > 1 else name for name, n in unknown.items())
    without = f" Without {names}, of which there is no earlier run." if unknown else ""
    lines = [f"About {seconds}, one stage after the other, and {most:.0f} MB at most.{without}"]
    for (name, guess), number in Counter(known).items():
        times = f"{number} {name}" if number > 1 else name
        size = f"{duration(guess.seconds)}{' each' if number > 1 else ''}, {guess.megabytes:.0f} MB"
        lines.append(f"- {times}: {size}, as {guess.words()}")
    return [*lines, *_by_sizes(new)]


def _by_sizes(uses: Sequence[_Use]) -> list[str]:
    """What stages that no earlier run knows take, by the sizes in the config."""
    from preflab.planning.sizing import sized

    found = [(use.stage.name, sized(next(iter(use.jobs.values())), use.stage)) for use in uses]
    known = Counter(
        (name, guess.words() + _work(guess)) for name, guess in found if guess is not None
    )
    if not known:
        return []
    tokens = max(guess.tokens for _, guess in found if guess is not None)
    told = f"Reckoned from the sizes in the config, with rows of at most {tokens} tokens:"
    return [
        told,
        *(
            f"- {f'{number} {name}' if number > 1 else name}: {words}"
            for (name, words), number in known.items()
        ),
    ]


def _work(guess: Sized) -> str:
    """Phrases on the time of the arithmetic and of the checkpoints."""
    from preflab.planning.sizing import size

    if not guess.flops:
        return ""
    seconds, number = guess.flops / YARDSTICK, guess.checkpoints(YARDSTICK)
    saved = duration(number * guess.checkpoint / DISK)
    count = f"{number} checkpoints" if number > 1 else "1 checkpoint"
    saves = f", and {count} of {size(guess.checkpoint)}, {saved} at {DISK / 1e6:.0f} MB/s"
    work = f"; {guess.flops:.1e} floating-point operations, {duration(seconds)} at 100 GFLOP/s"
    return f"{work}{saves if number else ''}"


def duration(seconds: float) -> str:
    """A time in two units at most.

    >>> duration(0.4), duration(59.6), duration(3720)
    ('0.4 s', '1 min 0 s', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _waiting(runs: Sequence[Run]) -> list[str]:
    """What the jobs wait for, each sentence once."""
    from preflab.planning.asking import FOLDER_MARK, waiting

    held = ((run.held, run.held.waits_for) for run in runs if run.held)
    waits = (f"{stage.name} waits for {waiting(choice)}" for stage, choice in held if choice)
    return list(dict.fromkeys(sentence.replace(FOLDER_MARK, "RUN") for sentence in waits))
