"""Groups of rows, and groups compared in pairs by question."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations

from preflab.errors import UserError, nearest
from preflab_builtin.evaluation.scored import Scores
from preflab_builtin.stored_samples.measures import Result
from preflab_builtin.stored_samples.samples import Stored

EVERY = ""
"""``--versus`` without a group: every pair of groups."""


def results(
    stored: Stored, scores: Mapping[str, Scores], columns: Sequence[str], versus: str | None
) -> tuple[list[Result], list[str]]:
    """One result per group, one for all samples, and one per pair of groups; and notes of questions
    that only one group of a pair answers. columns: the group columns; versus: the group that others
    are compared with, `EVERY`, or None."""
    groups = _by_group(stored) if columns else {}
    measured = [
        _result(dict(zip(columns, key, strict=True)), rows, stored, scores)
        for key, rows in groups.items()
    ]
    everything = _result({}, range(len(stored.samples)), stored, scores)
    compared: list[Result] = []
    notes: list[str] = []
    if versus is not None:
        for first, second in _pairs(groups, columns, versus):
            pairs = _paired(stored, groups[first], groups[second])
            names = [dict(zip(columns, key, strict=True)) for key in (first, second)]
            measures = {name: s.difference(pairs) for name, s in scores.items()}
            compared.append(Result(names[0], len(pairs), measures, names[1]))
            alone = [len(set(stored.units(groups[key]))) - len(pairs) for key in (first, second)]
            if any(alone):
                one, other = (", ".join(key) for key in (first, second))
                notes.append(
                    f"{one} - {other}: left out {alone[0]} questions that only {one} answers, and "
                    f"{alone[1]} that only {other} answers."
                )
    return [*measured, everything, *compared], notes


def _by_group(stored: Stored) -> dict[tuple[str, ...], list[int]]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, sample in enumerate(stored.samples):
        groups.setdefault(sample.group, []).append(i)
    return {key: groups[key] for key in sorted(groups)}


def _result(
    group: Mapping[str, str], rows: Sequence[int], stored: Stored, scores: Mapping[str, Scores]
) -> Result:
    units = stored.units(rows)
    return Result(group, len(rows), {name: s.measure(rows, units) for name, s in scores.items()})


def _pairs(
    groups: Mapping[tuple[str, ...], Sequence[int]], columns: Sequence[str], versus: str
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(group, the group that it is compared with)."""
    names = {", ".join(key): key for key in groups}
    if len(groups) < 2:
        raise UserError(
            f"evaluate-samples: --versus compares groups, and {', '.join(columns)} has one value."
        )
    if versus == EVERY:
        yield from ((second, first) for first, second in combinations(groups, 2))
        return
    wanted = versus.removeprefix(f"{columns[0]}=") if len(columns) == 1 else versus
    if wanted not in names:
        raise UserError(
            f"evaluate-samples: --versus {versus}: there is no group '{wanted}' in "
            f"{', '.join(columns)}. {nearest(wanted, names)}"
        )
    yield from ((key, names[wanted]) for key in groups if key != names[wanted])


def _paired(
    stored: Stored, first: Sequence[int], second: Sequence[int]
) -> dict[Hashable, tuple[list[int], list[int]]]:
    """The rows of both groups by question; `UserError` if they share none."""
    sides: list[dict[Hashable, list[int]]] = [{}, {}]
    for side, rows in zip(sides, (first, second), strict=True):
        for i, question in zip(rows, stored.units(rows), strict=True):
            side.setdefault(question, []).append(i)
    shared = {q: (sides[0][q], sides[1][q]) for q in sides[0] if q in sides[1]}
    if not shared:
        names = [", ".join(stored.samples[rows[0]].group) for rows in (first, second)]
        raise UserError(
            f"evaluate-samples: --versus: {names[0]} and {names[1]} answer no question in common"
            + (f" (columns {', '.join(stored.question)})." if stored.question else ".")
            + " Name the column that says which question a row answers: --question COLUMN."
        )
    return shared
