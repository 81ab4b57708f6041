"""What a reader must know before believing the tables: where the numbers come from and what limits
the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflab_builtin.report.arms import Arm, doubles
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.runs import RunResult
from preflab_builtin.report.wording import titled


def notes(
    runs: Sequence[RunResult], arms: Sequence[Arm], decisions: Sequence[Decision]
) -> list[str]:
    """All notes. runs: those below the given folders; arms: of the runs that count."""
    counted = [run for arm in arms for run in arm.runs]
    return [
        *_world(arms),
        *_said(counted),
        *_opponents(arms),
        *_intervals(arms),
        *_people(arms),
        *_baselines(counted),
        *_reward_models(counted),
        *_evaluations(counted),
        *_doubles(runs, arms),
        *_claims(decisions),
    ]


def _world(arms: Sequence[Arm]) -> Iterator[str]:
    names = {name for arm in arms for name in arm.measures}
    if any(name.startswith(("gold/", "win_rate/gold")) for name in names):
        simulated = "The world is simulated: utility is known exactly, and"
        programs = "the people who rank and judge are programs"
        parts = sorted({part for arm in arms for run in arm.runs for part in people_in(run)})
        if parts:
            yield f"{simulated} {programs}, but for these parts, which real people did: " + (
                f"{'; '.join(parts)}."
            )
        else:
            yield f"{simulated} {programs}."


_DONE = {
    "labeler": "rankings",
    "demonstrations": "demonstrations",
    "evaluation": "comparisons of responses",
}
"""What components called people do, by the first word of their place in the config."""


def people_in(run: RunResult) -> Iterator[str]:
    """What real people did in a run, with the round in which they did it."""
    config = run.config()
    for key, value in config.items():
        place, _, last = key.rpartition(".")
        done = _DONE.get(place.partition(".")[0])
        if last == "name" and value == "people" and done:
            yield f"{done} (round {config.get(f'{place}.round') or 'round-1'})"


def _said(runs: Sequence[RunResult]) -> Iterator[str]:
    """What evaluators say with their measures, each sentence once."""
    yield from dict.fromkeys(sentence for run in runs for sentence in run.told.said)


def _opponents(arms: Sequence[Arm]) -> Iterator[str]:
    """Win rates that are not against the evaluation's baseline."""
    names = dict.fromkeys(name for arm in arms for run in arm.runs for name in run.against)
    for name in names:
        sides: dict[str, str] = {}
        for arm in arms:
            for run in arm.runs:
                if name in run.measures:
                    sides[arm.label] = run.against.get(name) or titled(run.baseline)
        if sides:
            told = "; ".join(f"{label} against {other}" for label, other in sides.items())
            yield f"{name} is not of every arm against the evaluation's baseline: {told}."


def _intervals(arms: Sequence[Arm]) -> Iterator[str]:
    if any(run.fast for arm in arms for run in arm.runs):
        return  # more seeds of such runs would show nothing
    several = [arm for arm in arms if len(arm.runs) > 1]
    if any(arm.measures for arm in arms):
        if not several:
            one = "There is one seed per arm." if len(arms) > 1 else "There is one seed."
            yield (
                f"{one} Intervals are 95 %, over prompts, documents or pairs, and say nothing "
                "about other seeds. On another machine, or with another number of threads, the "
                "same seed gives other numbers too, as another seed would. Three seeds: "
                "-m seed=1,2,3."
            )
        elif len(several) < len(arms):
            yield (
                "Intervals are 95 %, Student's t over the seeds (with one seed: over prompts, "
                "documents or pairs)."
            )
        else:
            yield "Intervals are 95 %, Student's t over the seeds."
    shared = list(dict.fromkeys(stage for arm in several for stage in arm.shared_stages()))
    if shared:
        yield (
            f"All seeds share one {', '.join(shared)}: the variance of these stages is not in the "
            "intervals."
        )


def _people(arms: Sequence[Arm]) -> Iterator[str]:
    """What the intervals of people's measures are about."""
    if any(run.people_judged() for arm in arms for run in arm.runs):
        yield (
            "The intervals of what people said, and of the claims on it, are about other people "
            "too, beside other prompts and, with several seeds, other seeds. One person says "
            "nothing of others: there is no interval then, and no claim is decided."
        )


def _baselines(runs: Sequence[RunResult]) -> Iterator[str]:
    """Whether runs of one seed were compared with different policies in the same role."""
    by_seed: dict[tuple[int, str], set[str]] = {}
    for run in runs:
        rates = {name for name in run.measures if name.startswith("win_rate/")}
        if run.baseline and rates - run.against.keys():
            by_seed.setdefault((run.seed, run.baseline), set()).add(run.baseline_recipe())
    for role in sorted({role for (_, role), recipes in by_seed.items() if len(recipes) > 1}):
        name = titled(role)
        yield (
            f"Arms of one seed do not share one {name}: each win rate is against the arm's own "
            f"{name}. Compare them within an arm, and arms with one another by their true utility "
            "or reward."
        )


def _reward_models(runs: Sequence[RunResult]) -> Iterator[str]:
    """Whether the rewards of runs of one seed are those of different reward models."""
    by_seed: dict[int, dict[str, str]] = {}
    for run in runs:
        if any(name.startswith(("reward/", "win_rate/reward")) for name in run.measures):
            name, identity = run.reward_model()
            by_seed.setdefault(run.seed, {})[identity] = name
    several = [found for found in by_seed.values() if len(found) > 1]
    if several:
        names = dict.fromkeys(name for found in several for name in found.values() if name)
        which = f" ({', '.join(names)})" if names else ""
        yield (
            f"Arms of one seed do not share one reward model{which}: each proxy reward, and each "
            "win rate by reward, is by the arm's own. Such numbers of two arms are on two scales: "
            "compare arms by what is the same for all."
        )


def _evaluations(runs: Sequence[RunResult]) -> Iterator[str]:
    evaluations = {(run.baseline, run.prompts) for run in runs if run.measures}
    if len(evaluations) > 1:
        kinds = ", ".join(
            f"{n} prompts against {baseline or 'nobody'}" for baseline, n in sorted(evaluations)
        )
        yield f"Not all runs were judged alike ({kinds}): compare them with care."


def _doubles(runs: Sequence[RunResult], arms: Sequence[Arm]) -> Iterator[str]:
    pairs = doubles(runs, arms)
    if pairs:
        folders = "; ".join(f"{other.folder} counts, {run.folder} does not" for run, other in pairs)
        yield (
            "The same overrides and seed gave different results (another version of the code, or "
            f"of the data): {folders}."
        )


def _claims(decisions: Sequence[Decision]) -> Iterator[str]:
    if any(decision.for_looks for decision in decisions):
        yield (
            "The study adds seeds and looks at its claims after each block. The intervals in the "
            "column 'for all looks' decide: they are right at all planned looks together (levels "
            "of each look for Student's t, from a spending function), and the 95 % intervals are "
            "those of a study that looks once."
        )
    if len(decisions) > 1:
        yield (
            f"{len(decisions)} claims, each decided by its own interval: of twenty true null "
            "hypotheses one would be expected to seem decided. The column 'after Holm' has the "
            "verdicts and p-values corrected for the number of claims (Holm 1979): with them the "
            "probability of any false verdict is at most 5 %."
        )
