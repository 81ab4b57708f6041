"""Whether a run measures what decides in it: the objective of its study's search, what the options
of its components name, and what these want to have measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from preflab.door.choice import Choice
from preflab.errors import UserError, nearest
from preflab.evaluating import announces
from preflab.planning.asking import inspect
from preflab.planning.run import Run


def check_objective(run: Run) -> None:
    """`UserError` if no evaluator of the run makes the objective of its study's search. One that
    does not say what it measures (``measured`` of its config) may measure anything."""
    search = run.study.search if run.study else None
    if search is None:
        return
    if not run.makes_stage("evaluation"):
        raise UserError(
            f"study.search.objective is {search.objective}, but the run measures nothing: choose "
            "an evaluation (evaluation=ladder)."
        )
    names = announced(run)
    if names is not None and not any(announces(name, search.objective) for name in names):
        raise UserError(
            f"study.search.objective is {search.objective}, which no evaluator of the run "
            f"measures. {nearest(search.objective, names)}"
        )


def check_decisive(run: Run) -> None:
    """`UserError` for an option that names a measure which the component's own evaluators do not
    take. A config says by a method ``decided_by()`` which options do: their names and measures."""
    for choice in run.all_choices():
        decisive: Mapping[str, str] = getattr(choice.config, "decided_by", dict)()
        names = _names(run, choice) if decisive else None
        for key, measure in decisive.items() if names is not None else ():
            if not any(announces(name, measure) for name in names or ()):
                raise UserError(
                    f"{choice.key}.{key} decides by {measure}, which its evaluators do not "
                    "measure: add one that does, or name another measure. "
                    f"{nearest(measure, names or ())}"
                )


def only_wanted(run: Run) -> Run:
    """The run without the evaluators that are asked only if a component wants what they measure
    (``if_wanted()`` of their config), where none does: the run that never named them."""
    evaluation = run.choices["evaluation"]
    wanted = [one for those in _wanted(run) for measures in those.values() for one in measures]
    idle = {
        part.key
        for part in evaluation.nested
        if getattr(part.config, "if_wanted", bool)()
        and not any(announces(name, one) for name in part.config.measured() for one in wanted)
    }
    if not idle:
        return run
    kept = {
        field: {n: one for n, one in held.items() if f"{evaluation.key}.{field}.{n}" not in idle}
        for field in evaluation.component.nested
        if isinstance(held := getattr(evaluation.config, field), Mapping)
    }
    nested = tuple(part for part in evaluation.nested if part.key not in idle)
    left = replace(evaluation, config=replace(evaluation.config, **kept), nested=nested)
    return replace(run, choices={**run.choices, "evaluation": left})


def unmeasured(run: Run) -> Iterator[str]:
    """Sentences on what the components of a run want to have measured and no evaluator measures.
    A run that measures nothing, or does not say what, hears none."""
    names = announced(run)
    for wanted in _wanted(run) if names else ():
        for sentence, measures in wanted.items():
            if not any(announces(name, one) for name in names or () for one in measures):
                yield sentence


def _wanted(run: Run) -> Iterator[Mapping[str, Sequence[str]]]:
    """What the components want to have measured, as their configs say by a method
    ``to_be_measured()``: by sentence the measures, of which one is enough."""
    for choice in run.all_choices():
        yield getattr(choice.config, "to_be_measured", dict)()


def announced(run: Run) -> list[str] | None:
    """The measures of a run, with ``*`` for what only its data says
    (`preflab.evaluating.announces`); [] if it measures nothing; None: an evaluator does not say.
    """
    return _names(run, run.choices["evaluation"]) if run.makes_stage("evaluation") else []


def _names(run: Run, choice: Choice) -> list[str] | None:
    """The measures of a component's evaluators, and its own, if any. What an evaluator holds speaks
    through it."""
    evaluators = [part.config for part in choice.nested if part.component.kind == "evaluator"]
    known = [tuple(getattr(config, "measured", tuple)()) for config in evaluators]
    if not all(known):
        return None
    known.append(tuple(getattr(choice.config, "measured", tuple)()))
    gold, families = inspect(run.choices["data"]).gold, inspect(run.source("documents")).families
    known_of = {"gold": () if isinstance(gold, bool) else gold, "family": families}
    known_of["flag"] = inspect(run.choices["data"]).flags
    names = (_filled(name, **known_of) for those in known for name in those)
    return [name for those in names for name in those]


def _filled(announced: str, **values: Sequence[str]) -> list[str]:
    """The names that one with a word in braces stands for; with ``*`` if its values are not known.

    >>> _filled("gold/{gold}", gold=["gold", "harmless"]), _filled("a/{family}", family=[])
    (['gold/gold', 'gold/harmless'], ['a/*'])
    """
    for word, known in values.items():
        if f"{{{word}}}" in announced:
            return [announced.replace(f"{{{word}}}", value) for value in known or ["*"]]
    return [announced]
