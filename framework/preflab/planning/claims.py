"""Whether the claims of a study speak of arms that its jobs have, and of what they measure: said
before the first job, since otherwise the report says it after the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflab.composing.compose import CommandLine, parse
from preflab.errors import UserError, nearest
from preflab.planning.objectives import announced, begins
from preflab.planning.reading import Job
from preflab.study import ClaimConfig, StudyConfig

OF_REPORTS = "cost"
"""Measures that reports add to every evaluated run begin with this: cost/flops, cost/tokens."""


def check_claims(line: CommandLine, jobs: Sequence[Job]) -> list[str]:
    """Sentences on claims that the jobs cannot answer. `UserError` for an arm that no job has,
    unless the command line leaves arms of the study's file out. A search has its arms later."""
    study = jobs[0].run.study
    if study is None or not line.multirun:
        return []
    said = list(_of_measures(study, jobs))
    absent = [] if line.search is not None else list(_absent(study, jobs))
    told = [
        f"study.claims.{name} speaks of the arm {arm}, which no job has: these jobs "
        f"do not answer it. {nearest(arm, _arms(jobs))}"
        for name, arm in absent
    ]
    if told and not _leaves_out(line):
        cures = dict.fromkeys(f"'~study.claims.{name}'" for name, _ in absent)
        cure = f"Name an arm of the study, or leave the claim out with {' '.join(cures)}."
        raise UserError("\n".join([*told, cure]))
    return [*told, *said]


def _absent(study: StudyConfig, jobs: Sequence[Job]) -> Iterator[tuple[str, str]]:
    """Claims, and the arms that they name and no job has."""
    named = {name for job in jobs for name in (job.run.settings.arm, job.run.settings.name)}
    words = [{*f"{job.config_name} as it is".split(), *_words(job)} for job in jobs]

    def there(arm: str) -> bool:
        # The report calls an arm by its name, by overrides, or by both: "NAME (KEY=VALUE)".
        name, _, rest = arm.partition(" (")
        within = rest.removesuffix(")") if name in named else arm
        return arm in named or any(set(within.split()) <= own for own in words)

    for key, claim in study.claims.items():
        given = [arm for arm in (claim.arm, claim.versus, *claim.frontier) if arm]
        arms = [a for arm in given for a in ([arm] if there(arm) else study.series.get(arm, [arm]))]
        yield from ((key, arm) for arm in dict.fromkeys(arms) if not there(arm))


def _words(job: Job) -> list[str]:
    """The overrides of a job, parted as those of an arm's name are (`a=[1, 2]` has two)."""
    return " ".join(job.overrides).split()


def _arms(jobs: Sequence[Job]) -> list[str]:
    """The names of the jobs' arms; of jobs without one, the overrides in which they differ."""
    unnamed = [set(job.overrides) for job in jobs if not job.run.settings.arm]
    common = set.intersection(*unnamed) if unnamed else set[str]()
    arms = dict.fromkeys(job.run.settings.arm for job in jobs if job.run.settings.arm)
    for job in jobs:
        own = [w for w in job.overrides if w not in common and not w.startswith("seed=")]
        if not job.run.settings.arm and own:
            arms[" ".join(own)] = None
    return list(arms)


def _leaves_out(line: CommandLine) -> bool:
    """Whether the study's file sweeps something, other than seeds, that these jobs do not have."""
    given = ("--config-dir", line.config_dir) if line.config_dir else ()
    own = parse(["-cn", line.config_name, *given])
    jobs = [set(job) for job in line.jobs]
    swept = ({word for word in job if not word.startswith("seed=")} for job in own.jobs)
    return not all(any(words <= job for job in jobs) for words in swept)


def _of_measures(study: StudyConfig, jobs: Sequence[Job]) -> Iterator[str]:
    found = [announced(job.run) for job in jobs]
    if not study.claims or any(names is None for names in found):
        return
    names = list(dict.fromkeys(name for own in found for name in own or ()))
    if not any(job.run.makes_stage("evaluation") for job in jobs):
        yield "The study has claims, but its jobs measure nothing: choose an evaluation."
        return
    if not names:  # an evaluation of a plugin without evaluators
        return
    for key, claim in study.claims.items():
        for measure in _measures(claim):
            if not any(begins(measure, name) for name in (*names, OF_REPORTS)):
                yield (
                    f"study.claims.{key} is about {measure}, which no evaluator of the jobs "
                    f"measures: these jobs do not answer it. Measures begin with one of these: "
                    f"{nearest(measure, names)}"
                )


def _measures(claim: ClaimConfig) -> list[str]:
    """What a claim reads of its runs."""
    return list(dict.fromkeys([claim.measure, *([claim.at] if claim.frontier else [])]))
