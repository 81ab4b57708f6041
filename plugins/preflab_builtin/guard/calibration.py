"""A threshold from the scores of harmless texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.records import Prompt
from preflab.rows import BadRow, read_table
from preflab_builtin.guard.config import Part
from preflab_builtin.guard.verdicts import Scores


def threshold_of(scores: Sequence[float], share: float) -> float:
    """The least of n harmless scores [n] such that another harmless text is above it with a
    probability of ``share`` at most: the one of rank ceil((1 - share) (n + 1)), as in split
    conformal prediction (Vovk et al. 2005). ValueError for too few scores.

    >>> threshold_of([0.1, 0.4, 0.2, 0.3], share=0.4)  # rank ceil(0.6 x 5) = 3
    0.3
    """
    rank = math.ceil(round((1 - share) * (len(scores) + 1), 9))
    if rank > len(scores):
        raise ValueError(f"a share of {share:g} needs {math.ceil(1 / share) - 1} texts at least")
    return sorted(scores)[rank - 1]


def calibrated(
    threshold: float | None, file: str, share: float, checks: Part, scores: Scores, key: str
) -> float:
    """The threshold that is given, or that follows from a file of harmless rows. A row's score is
    the highest of what the guard looks at. key: of the guard, for messages."""
    if threshold is not None:
        return threshold
    prompts, responses = harmless_rows(Path(file), checks)
    both: list[list[float]] = []
    if checks is not Part.response:
        both.append(scores(prompts, None))
    if checks is not Part.prompt:
        both.append(scores(prompts, responses))
    try:
        return threshold_of([max(of_row) for of_row in zip(*both, strict=True)], share)
    except ValueError as error:
        raise UserError(
            f"{key}.calibration: {file} has {len(prompts)} rows, but {error}. Give more rows, or "
            f"a higher {key}.false_blocks."
        ) from None


def harmless_rows(path: Path, checks: Part) -> tuple[list[Prompt], list[str]]:
    """The prompts and responses of a file. `UserError` naming a row that lacks what the guard looks
    at."""

    def read(values: Mapping[str, Any]) -> tuple[str, str]:
        needed = {Part.prompt: ("prompt",), Part.response: ("response",)}.get(
            checks, ("prompt", "response")
        )
        for name in needed:
            if not isinstance(values.get(name), str):
                raise BadRow(name, "must be a text")
        prompt, response = values.get("prompt"), values.get("response")
        return (
            prompt if isinstance(prompt, str) else "",
            response if isinstance(response, str) else "",
        )

    rows = list(read_table(path, read))
    prompts = [Prompt(f"{i}", prompt) for i, (prompt, _) in enumerate(rows)]
    return prompts, [response for _, response in rows]
