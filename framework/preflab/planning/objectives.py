"""Whether a run measures what its study searches by."""

from __future__ import annotations

from preflab.errors import UserError, nearest
from preflab.planning.run import Run


def check_objective(run: Run) -> None:
    """`UserError` if no evaluator of the run makes the objective of its study's search. Evaluators
    say what they measure by the beginning of its name (``measured`` of their config); one that does
    not say may measure anything."""
    search = run.study.search if run.study else None
    if search is None:
        return
    if not run.makes_stage("evaluation"):
        raise UserError(
            f"study.search.objective is {search.objective}, but the run measures nothing: choose "
            "an evaluation (evaluation=ladder)."
        )
    names = announced(run)
    if names is not None and not any(begins(search.objective, name) for name in names):
        raise UserError(
            f"study.search.objective is {search.objective}, which no evaluator of the run "
            f"measures. Measures begin with one of these: {nearest(search.objective, names)}"
        )


def announced(run: Run) -> list[str] | None:
    """With what the measures of a run begin, [] if it measures nothing; None: an evaluator does not
    say."""
    if not run.makes_stage("evaluation"):
        return []
    choices = [c for c in run.choices["evaluation"].all() if c.component.kind == "evaluator"]
    known = [tuple(getattr(choice.config, "measured", tuple)()) for choice in choices]
    return [name for those in known for name in those] if all(known) else None


def begins(measure: str, name: str) -> bool:
    """Whether a measure is one that an evaluator announces.

    >>> begins("gold/gold", "gold"), begins("golden", "gold"), begins("gold", "gold")
    (True, False, True)
    """
    return measure == name or measure.startswith(f"{name}/")
