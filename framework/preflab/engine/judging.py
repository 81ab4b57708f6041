"""Whether what judges a run also filtered, marked, guarded or trained it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from preflab.door.choice import Choice
from preflab.options import canonical
from preflab.planning.asking import inspect
from preflab.planning.run import Run


def judges_itself(run: Run) -> Iterator[str]:
    """A sentence for each component that judges in the evaluation and that the run uses elsewhere
    too: it finds good what was chosen by itself. Components are the same if they read the same from
    outside (a folder), or, where they read nothing, if their configs are equal; of any kind if they
    look for the same word. Configs say by a method ``looks_for()`` for which words they do."""
    judges = list(_judges(run.choices["evaluation"])) if "evaluation" in run.choices else []
    names = {choice.key for choice in judges}
    others = [choice for choice in run.all_choices() if choice.key not in names]
    for judge in judges:
        alike = [other.key for other in others if _alike(judge, other)]
        if alike:
            yield (
                f"{judge.key} judges by the same model or words as {' and '.join(alike)}: what was "
                "chosen by a judge looks better to it than it is. Judge by people, by another "
                "classifier or, in a simulated world, by its truth (gold)."
            )


def _judges(evaluation: Choice) -> Iterator[Choice]:
    """Its reward components, and what else its evaluators judge by: a config names such fields in
    ``judges``."""
    for owner in evaluation.all():
        others = {f"{owner.key}.{field}" for field in getattr(owner.config, "judges", ())}
        for nested in owner.nested:
            if nested.key in others:
                yield from nested.all()
            elif nested.component.kind == "reward_model":
                yield nested


def _alike(judge: Choice, other: Choice) -> bool:
    words = [{word.casefold() for word in _words(choice)} for choice in (judge, other)]
    if words[0] & words[1]:
        return True
    one, two = inspect(judge).content, inspect(other).content
    if one and two:  # a guard's has the digest of its calibration file at the end
        return one.startswith(two) or two.startswith(one)
    same = (judge.component.kind, judge.name) == (other.component.kind, other.name)
    return not one and not two and same and canonical(judge.config) == canonical(other.config)


def _words(choice: Choice) -> Collection[str]:
    looks_for: Callable[[], Collection[str]] = getattr(choice.config, "looks_for", tuple)
    return looks_for()
