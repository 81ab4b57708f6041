"""Whether the claims of a study speak of arms that its jobs have, and of what they measure: said
before the first job, since otherwise the report says it after the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflab.composing.compose import CommandLine, parse
from preflab.errors import UserError, nearest
from preflab.evaluating import announces
from preflab.planning.objectives import announced
from preflab.planning.reading import Job, check_jobs
from preflab.study import ClaimConfig, StudyConfig

OF_REPORTS = ("cost/flops", "cost/tokens")
"""Measures that reports add to every evaluated run."""


def check_claims(line: CommandLine, jobs: Sequence[Job]) -> list[str]:
    """Sentences on claims that the jobs cannot answer. `UserError` for an arm that no job has, for
    two arms that are one, and for what no job measures, unless the command line leaves out what the
    study's file has. A search has its arms later."""
    study = jobs[0].run.study
    if study is None or not line.multirun:
        return []
    absent = [] if line.search is not None else list(_absent(study, jobs))
    said, unmeasured = _of_measures(study, jobs)
    told = [
        f"study.claims.{name} speaks of the arm {arm}, which no job has: these jobs "
        f"do not answer it. {nearest(arm, _arms(jobs))}"
        for name, arm in absent
    ]
    wrong = [name for name, _ in absent] if told and not _leaves_out(line) else []
    own = _measured_by_file(line) if unmeasured else []
    wrong += [name for name, measure in unmeasured if not _is_announced(measure, own)]
    for name, claim in study.claims.items():
        if claim.versus and _same(claim.arm, claim.versus, jobs):
            wrong.append(name)
            told.append(
                f"study.claims.{name} compares the arms {claim.arm} and {claim.versus}, whose jobs "
                "compute the same: nothing that one of them sets has an effect. A value of the "
                "study's file wins over an arm's unless _self_ stands before arm in its defaults."
            )
    if wrong:
        cures = " ".join(f"'~study.claims.{name}'" for name in dict.fromkeys(wrong))
        cure = f"Correct the study's file, or leave out what cannot be answered with {cures}."
        raise UserError("\n".join([*told, *said, cure]))
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


def _same(arm: str, versus: str, jobs: Sequence[Job]) -> bool:
    """Whether the jobs of two arms with names make the same measurements, seed by seed."""
    made = [
        {
            stage.recipe_id
            for job in jobs
            if job.run.settings.arm == name and (stage := job.run.stage("evaluation"))
        }
        for name in (arm, versus)
    ]
    return bool(made[0]) and made[0] == made[1]


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
    jobs = [set(job) for job in line.jobs]
    swept = ({word for word in job if not word.startswith("seed=")} for job in _own(line).jobs)
    return not all(any(words <= job for job in jobs) for words in swept)


def _own(line: CommandLine) -> CommandLine:
    """The study's file without the other words of a command."""
    given = ("--config-dir", line.config_dir) if line.config_dir else ()
    return parse(["-cn", line.config_name, *given])


def _of_measures(
    study: StudyConfig, jobs: Sequence[Job]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Sentences on what no job measures, and the claims about it with the measure."""
    names = _announced(jobs)
    if not study.claims or names is None:
        return [], []
    if not any(job.run.makes_stage("evaluation") for job in jobs):
        return ["The study has claims, but its jobs measure nothing: choose an evaluation."], []
    known = [*names, *OF_REPORTS]
    unmeasured = [
        (key, measure)
        for key, claim in study.claims.items()
        for measure in _measures(claim)
        if names and not _is_announced(measure, known)
    ]  # without a name: an evaluation of a plugin without evaluators
    said = [
        f"study.claims.{key} is about {measure}, which no evaluator of the jobs measures: these "
        f"jobs do not answer it. {nearest(measure, known)}"
        for key, measure in unmeasured
    ]
    return said, unmeasured


def _announced(jobs: Sequence[Job]) -> list[str] | None:
    """What the jobs measure; None: an evaluator does not say."""
    found = [announced(job.run) for job in jobs]
    if any(names is None for names in found):
        return None
    return list(dict.fromkeys(name for names in found for name in names or ()))


def _measured_by_file(line: CommandLine) -> list[str] | None:
    """What the jobs of the study's file measure without the other words of the command; None: that
    is not known."""
    try:
        return _announced(check_jobs(_own(line))) or None  # an evaluation without evaluators
    except UserError:  # it needs words of the command line
        return None


def _is_announced(measure: str, names: Sequence[str] | None) -> bool:
    return names is None or any(announces(name, measure) for name in names)


def _measures(claim: ClaimConfig) -> list[str]:
    """What a claim reads of its runs."""
    return list(dict.fromkeys([claim.measure, *([claim.at] if claim.frontier else [])]))
