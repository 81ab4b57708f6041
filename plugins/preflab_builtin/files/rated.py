"""Scores of both answers of a pair, next to the columns that name the better one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from preflab.rows import BadRow, shown
from preflab_builtin.files.asking import Columns
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.values import listed, numeric

PAIR = ("chosen", "rejected")
_SCORE = re.compile(r"score|rating|reward|grade")
"""What the name of a score of a single answer has in it."""
_BOTH = ("scores", "ratings", "rewards")
"""Columns with the scores of 'chosen' and 'rejected', in this order."""


def rated(row: Columns, reading: Reading, transcript: bool = False) -> tuple[float, ...]:
    """The scores that some sets hold next to the pair; `BadRow` if they contradict it. transcript:
    the question is in a text with the answer, where no option reads the scores."""
    for name in _scores(tuple(row)):
        names = (name,) if name in _BOTH else (name, name.replace("chosen", "rejected"))
        given = listed(row[name]) if name in _BOTH else [row.get(one) for one in names]
        try:  # scores that are no numbers say nothing here
            better, worse = [numeric(value, name) for value in given]
        except (BadRow, TypeError, ValueError):
            continue
        if better < worse:
            raise BadRow(
                ", ".join(map(shown, names)), _swapped((better, worse), names, transcript, reading)
            )
        return better, worse
    return ()


def _swapped(
    scores: tuple[float, float], names: Sequence[str], transcript: bool, reading: Reading
) -> str:
    """Scores that prefer the answer which is called the worse one, and what can be done."""
    option = reading.settings.option
    in_file = {usual: name for name, usual in reading.settings.renamed}
    own = ",".join(in_file.get(name, name) for name in names)
    pair = [in_file.get(name, name) for name in PAIR]
    mapped = f" (without {option('columns.chosen')} and its like)" if in_file else ""
    answers = option(f"verdict.answers=[{','.join(pair)}]")
    read = f"{answers} {option(f'verdict.scores=[{own}]')}{mapped}"
    read = "exchange the two in such rows of the file" if transcript else read
    return (
        f"the score of '{shown(pair[0])}' is {scores[0]:g}, below {scores[1]:g} of "
        f"'{shown(pair[1])}'. Say which counts. The scores: {read}; the names of the "
        f"columns: {option(f'ignore=[{own}]')}. Or leave such rows out: {option('on_bad_row=skip')}"
    )


@lru_cache(maxsize=4096)
def _scores(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns with scores of the pair, or of 'chosen'."""
    return tuple(n for n in names if n in _BOTH or ("chosen" in n and _SCORE.search(n)))
