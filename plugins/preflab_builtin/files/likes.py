"""Single answers that people liked or not (KTO), or scored, as rankings: those to one question are
compared, where the whole file has answers that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from preflab import UserError
from preflab.rows import BadRow, Row, read_rows
from preflab_builtin.files.catalogue import KTO, ONE_ANSWER, Shape, alone, fitting
from preflab_builtin.files.columns import Reading
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.grouping import gathered
from preflab_builtin.files.names import LIKED, SAID_BY
from preflab_builtin.files.ranked import is_liked, score, score_field


def groups(
    path: Path, head: Sequence[Sequence[Row]], reading: Reading
) -> Iterator[list[Row]] | None:
    """All rows of the file, those with one question together; None if they are no such answers.
    `UserError` if some question has no two answers to compare and nobody asked to leave these
    out."""
    settings = reading.settings
    asked = settings.format in {shape.name for shape in ONE_ANSWER}
    if settings.record_type != "rankings" or (settings.format and not asked):
        return None
    rows = [row for group in head for row in group]
    shapes = [shape for row in rows if (shape := _shape(row, reading)) is not None]
    if len(shapes) <= len(rows) / 2:
        return None
    key = _key(reading)
    sizes, differing = _survey(path, key, reading)
    alike = len(sizes) - len(differing)
    if alike and not asked:
        first = next(row for row in rows if _shape(row, reading) is not None)
        said = _alike(path, first, shapes[0], (alike, len(sizes)), reading)
        raise UserError(f"{said}{_apart(rows, reading)}")
    reading.likes = True
    return gathered(read_rows(path), sizes, key)


def _apart(rows: Sequence[Row], reading: Reading) -> str:
    """A sentence if people, or splits, keep answers to one prompt apart."""
    told = {name for row in rows if row.problem is None for name in row.values}
    names = [name for name in (*SAID_BY, "split") if name in told]
    if not names:
        return ""
    without = reading.settings.option(f"ignore=[{','.join(names)}]")
    return (
        f" Answers that differ in {' or '.join(names)} are not compared: who said that one of them "
        f"is better? {without} compares them, as if there were no such column."
    )


_SFT_ALONE = (
    "sft=demonstrations reward_model=none algorithm=none samples=none comparisons=none "
    "evaluation=none"
)
"""The words of a run that has demonstrations and neither rankings nor prompts."""


def _alike(path: Path, first: Row, shape: Shape, counts: tuple[int, int], reading: Reading) -> str:
    """counts: questions whose answers are all alike, and all questions."""
    (alike, all_of), settings = counts, reading.settings
    cure = f"{settings.option(f'format={shape.name}')} {settings.option('on_bad_row=skip')}"
    others = "" if alike == all_of else f" To leave those out, counted: {cure}."
    if shape is not KTO:
        try:
            field = score_field(reading.view(first.values))
        except BadRow as bad:
            return f"{first.place}: {bad}"
        return (
            f"{first.place}: {field}: is of a single answer, and {alike} of {all_of} prompts have "
            "one answer only, or answers that are all equal: there is nothing to compare. Rows "
            f"with the same text in 'prompt' are compared.{others}"
        )
    return (
        f"{first.place}: label: says whether people liked a single answer (KTO), and {alike} of "
        f"{all_of} prompts have only liked or only disliked answers, which compare no two answers. "
        "Every algorithm that learns from rankings, algorithm=kto among them, needs liked and "
        f"disliked answers to the same prompt.{others} To learn what people liked as "
        "demonstrations, and leave out the rest, counted: "
        f"{_as_demonstrations(path, settings)}. With sft=none nothing would read them."
    )


def _as_demonstrations(path: Path, settings: RowSettings) -> str:
    """The options that give the file as demonstrations."""
    if settings.section == "data":
        words = f"data.demonstrations={path} data.on_bad_row=skip"
        return f"{words} {_SFT_ALONE}, in the place of data.rankings"
    key = "demonstrations"
    words = f"{key}=files {key}.path={path} {key}.on_bad_row=skip"
    return f"{words} {_SFT_ALONE}, in the place of {settings.section}=files and its options"


def _shape(row: Row, reading: Reading) -> Shape | None:
    """The shape of such an answer; None for another row."""
    try:
        view = reading.view(row.values) if row.problem is None else {}
    except BadRow:
        return None
    filled = tuple(name for name, value in view.items() if value is not None)
    if fitting(filled, reading.settings.record_type, None):
        return None
    return alone(view)


def _key(reading: Reading) -> Callable[[Row], int | None]:
    """What the answers to one question that one person judged have in common; None for a row that
    is no such answer."""

    def key(row: Row) -> int | None:
        shape = _shape(row, reading)
        if shape is None:
            return None
        view = reading.view(row.values)
        return hash(shape.together(view, reading.settings.split))

    return key


def _survey(
    path: Path, key: Callable[[Row], int | None], reading: Reading
) -> tuple[Counter[int], set[int]]:
    """By question: its rows in the whole file; and the questions whose answers differ."""
    sizes: Counter[int] = Counter()
    first: dict[int, float] = {}
    differing: set[int] = set()
    for row in read_rows(path):
        name = key(row)
        if name is None:
            continue
        sizes[name] += 1
        view = reading.view(row.values)
        try:
            said = score(view) if not set(LIKED) & view.keys() else float(is_liked(view))
        except BadRow:  # refused when it is read
            differing.add(name)
            continue
        if first.setdefault(name, said) != said:
            differing.add(name)
    return sizes, differing
