"""A threshold from the scores of harmless texts."""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from preflab.components import Inspection
from preflab.errors import UserError
from preflab.launched import is_main
from preflab.records import Prompt
from preflab.rows import BadRow, path_digest, read_table
from preflab_builtin.guard.config import Part
from preflab_builtin.guard.verdicts import Scores

LOG = logging.getLogger(__name__)
JUDGES = frozenset(
    "abuse abusive accepted allowed annotation attack bad blocked categories category class "
    "classes dangerous flag flagged good harm harmful harmless harmlessness hate hateful "
    "insult insulting judgement judgment label moderation nsfw obscene offensive ok profanity "
    "rated rating reward rude safe safety score severity sexual spam target threat toxic "
    "toxicity unsafe verdict violates violation violent".split()
)
"""Words in the name of a column that say something of its row."""
YES_OR_NO = frozenset(("0", "1", "true", "false"))


TEXTS = ("prompt", "response")
NEEDED = {Part.prompt: TEXTS[:1], Part.response: TEXTS[1:], Part.both: TEXTS}
"""Columns that a guard reads, by what it looks at."""


class Calibrates(Protocol):
    """A config whose threshold is given, or follows from a file."""

    threshold: float | None
    calibration: str
    harmless: dict[str, Any]
    false_blocks: float
    checks: Part


@dataclass(frozen=True)
class Harmless:
    """Harmless rows [n] of a file. said: how many there are, and how many of them are different."""

    prompts: list[Prompt]
    responses: list[str]
    said: str


def rank_of(scores: int, share: float) -> int:
    """Which of n harmless scores, the lowest first, is the threshold. ValueError for too few."""
    rank = math.ceil(round((1 - share) * (scores + 1), 9))
    if rank > scores:
        raise ValueError(f"a share of {share:g} needs {math.ceil(1 / share) - 1} texts at least")
    return rank


def threshold_of(scores: Sequence[float], share: float) -> float:
    """The least of n harmless scores [n] such that another harmless text is above it with a
    probability of ``share`` at most: the one of rank ceil((1 - share) (n + 1)), as in split
    conformal prediction (Vovk et al. 2005). ValueError for too few scores.

    >>> threshold_of([0.1, 0.4, 0.2, 0.3], share=0.4)  # rank ceil(0.6 x 5) = 3
    0.3
    """
    rank = rank_of(len(scores), share)
    return sorted(scores)[rank - 1]


def calibrated(config: Calibrates, scores: Scores, key: str) -> float:
    """The threshold that is given, or that follows from a file of harmless rows, which is said. A
    row's score is the highest of what the guard looks at. key: of the guard, for messages."""
    if config.threshold is not None:
        return config.threshold
    rows = harmless_rows(config, key)
    both: list[list[float]] = []
    if config.checks is not Part.response:
        both.append(scores(rows.prompts, None))
    if config.checks is not Part.prompt:
        both.append(scores(rows.prompts, rows.responses))
    highest = [max(of_row) for of_row in zip(*both, strict=True)]
    threshold = threshold_of(highest, config.false_blocks)
    if is_main():
        LOG.warning("%s: the threshold %.6g follows from %s.", key, threshold, rows.said)
    return threshold


def inspected(config: Calibrates, key: str, content: str) -> Inspection:
    """What is known of a guard before any work: its own content, and the bytes of its calibration
    file. `UserError` for a file from which no threshold follows."""
    if not config.calibration:
        return Inspection(content=content)
    said = harmless_rows(config, key).said
    read_as = repr(sorted(config.harmless.items())) if config.harmless else ""
    return Inspection(
        content=content + path_digest(Path(config.calibration)) + read_as,
        notices=[f"The threshold of a guard follows from {said}."],
    )


def harmless_rows(config: Calibrates, key: str) -> Harmless:
    """The harmless rows of the config's file. `UserError` naming a row that lacks what the guard
    looks at; for too few rows; and for a file with a column that judges its rows, as long as
    ``harmless`` does not say how to read it: harmful rows would raise the threshold."""
    file, harmless = config.calibration, config.harmless
    needed = NEEDED[config.checks]
    columns = defaultdict[str, dict[str, None]](dict)

    def read(values: Mapping[str, Any]) -> tuple[str, str] | None:
        for name in needed:
            if not isinstance(values.get(name), str):
                raise BadRow(name, "must be a text")
        for name in harmless:
            if name not in values:
                raise BadRow(name, f"is missing, and {key}.harmless reads it")
        for name in (name for name in values if name not in TEXTS):
            columns[name][_plain(values[name])] = None
        if any(_plain(values[name]) != _plain(value) for name, value in harmless.items()):
            return None
        prompt, response = (
            text if isinstance(text := values.get(name), str) else "" for name in TEXTS
        )
        return prompt, response

    every = list(read_table(Path(file), read))
    rows = [row for row in every if row is not None]
    _check_columns(columns, config, key)
    if every and not rows:
        seen = "; ".join(f"'{name}' holds {_some(columns[name])}" for name in harmless)
        raise UserError(f"{key}.harmless: no row of {file} is as it says: {seen}.")
    try:
        rank_of(len(rows), config.false_blocks)
    except ValueError as error:
        raise UserError(
            f"{key}.calibration: {file} has {len(rows)} harmless rows, but {error}. Give more "
            f"rows, or a higher {key}.false_blocks."
        ) from None
    looked = {tuple(row[TEXTS.index(name)] for name in needed) for row in rows}
    left_out = f" ({len(every) - len(rows)} others are left out)" if len(rows) < len(every) else ""
    return Harmless(
        [Prompt(f"{i}", prompt) for i, (prompt, _) in enumerate(rows)],
        [response for _, response in rows],
        f"{len(rows)} harmless rows of {file}{left_out}, {len(looked)} of them distinct "
        f"(by {' and '.join(needed)})",
    )


def _check_columns(columns: Mapping[str, Mapping[str, None]], config: Calibrates, key: str) -> None:
    """`UserError` for a column that judges rows and is not read. columns: values by name."""
    for name, values in columns.items():
        if name in config.harmless or not _judges(name, values):
            continue
        raise UserError(
            f"{key}.calibration: {config.calibration} judges its rows: its column '{name}' holds "
            f"{_some(values)}. Only harmless rows may count, or the threshold lets harmful ones "
            "through. Say which value means harmless, and the other rows are left out: "
            f"harmless: {{{name}: VALUE}} among the guard's options, in a command "
            f"+algorithm.{key}.harmless.{name}=VALUE. Or give a file of harmless rows alone, "
            "without that column."
        )


def _judges(name: str, values: Mapping[str, None]) -> bool:
    """Whether a column says something of its rows, by its name or because it says yes or no."""
    given = values.keys() - {""}
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
    known = any(word in JUDGES or word.removesuffix("s") in JUDGES for word in words)
    return bool(given) and (known or given <= YES_OR_NO)


def _plain(value: Any) -> str:
    """A value as it is compared, whatever kind of file or config it comes from.

    >>> _plain(True), _plain("Yes"), _plain("0"), _plain(0.0), _plain(" Toxic"), _plain(None)
    ('true', 'true', '0', '0', 'toxic', '')
    """
    text = "" if value is None else str(value).strip().casefold()
    text = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text, text)
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _some(values: Mapping[str, None]) -> str:
    """A few values of a column."""
    shown = [repr(value[:40]) for value in list(values)[:4]]
    return ", ".join(shown) + (", and more" if len(values) > 4 else "")
