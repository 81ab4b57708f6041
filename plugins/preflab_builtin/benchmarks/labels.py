"""The label of a classifier that is meant, by the names in its folder; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preflab.errors import UserError, nearest
from preflab_builtin.causal_lm.checking import CONFIG, read_json


def labels_of(folder: Path) -> dict[int, str]:
    """The labels of a classifier's folder by number, as transformers reads its config.json: two
    without names, if it names none."""
    config = read_json(folder / CONFIG)
    names = config.get("id2label")
    if isinstance(names, dict) and names:
        return {int(number): str(name) for number, name in names.items()}
    return {number: f"LABEL_{number}" for number in range(int(config.get("num_labels") or 2))}


def label_number(label: str, names: Mapping[int, str], key: str = "classifier") -> int:
    """The number of a label that is given by name or number. "" is the only output of a model that
    has one, whose probability is that of yes. Of several none is taken for granted, as a wrong one
    would turn every verdict round. `UserError` with the model's labels. key: of the
    options, for messages.

    >>> label_number("toxic", {0: "fine", 1: "toxic"}), label_number("0", {0: "fine", 1: "toxic"})
    (1, 0)
    >>> label_number("", {0: "LABEL_0"})
    0
    """
    for wanted in (names, {number: str(number) for number in names}):  # names come first
        for number, name in wanted.items():
            if label == name:
                return number
    if len(names) == 1 and label in ("", "1"):
        return 0
    shown = ", ".join(f"{number} {name}" for number, name in names.items())
    if not label:
        raise UserError(
            f"{key}.label is not given, and the model has {len(names)} labels: {shown}. Say "
            "which one is meant, label=NAME or its number: for a guard the one that is not allowed."
        )
    raise UserError(
        f"{key}.label: the model has no label '{label}'. Its labels: {shown}. "
        f"{nearest(label, [*names.values(), *map(str, names)])}"
    )
