"""Texts with the flags that people set on them: those of a frozen round, or of a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.rows import fields, path_digest, read_table
from preflab_people.frozen import MANIFEST, FrozenRound
from preflab_people.rounds import folder_of, frozen_of, open_round, read_round, required_kind
from preflab_people.training import Judged, given_for_training

HALF = 0.5
"""A text is flagged if at least this share of the people who judged it set the flag."""


@dataclass(frozen=True)
class FlaggedText:
    """A response with what was said of it. shares: by flag, the share of the people who judged the
    response that set it; a flag that nobody set is not there. unit: what was drawn when the text
    was, its prompt: texts of one unit are never on both sides of a division."""

    prompt: str
    response: str
    shares: Mapping[str, float]
    unit: str

    def share(self, flag: str) -> float:
        """From 0 to 1."""
        return self.shares.get(flag, 0.0)

    def has(self, flag: str) -> bool:
        """Whether at least half of the people set it."""
        return self.share(flag) >= HALF


@dataclass(frozen=True)
class Flagged:
    """What a guard can be trained on. name: of the round, or of the file; asked: names of the flags
    that people were asked for; people: how many judged, 0 if nobody knows; digest: sha256 (hex) of
    the frozen round, or of the file; run: folder of the run that the round was made of, or ""."""

    name: str
    texts: tuple[FlaggedText, ...]
    asked: tuple[str, ...]
    people: int
    digest: str
    run: str = ""

    @property
    def called(self) -> str:
        """As sentences name it."""
        return f"the round {self.name!r}" if self.people else f"the file {self.name}"


def flagged(name: str) -> Flagged:
    """The texts of a round that is closed, of the folder of a frozen one, or of a file of rows;
    `UserError` for anything else, and for a round in which nobody was asked for flags."""
    return of_file(Path(name)) if Path(name).is_file() else of_round(name)


# --- a round ---


def of_round(name: str) -> Flagged:
    """What people said in a round. Held-out and removed people, gold and repeated tasks train
    nothing, as everywhere."""
    folder = folder_of(name)
    is_frozen = (folder / MANIFEST).is_file()
    made = read_round(folder.parent) if is_frozen else open_round(name)[1]
    frozen = frozen_of(name)
    if frozen is None:
        raise UserError(
            f"label guard: the round {name!r} is open, and its people may say more. Close it "
            f"first: preflab label close {name}"
        )
    required_kind(frozen, name, ("rank",), "label guard")
    judged = [row for row in given_for_training(frozen.judged) if row[1].answer.flags]
    texts = _texts(_votes(judged))
    asked = frozen.settings.flags or _names(texts)
    if not asked or not texts:
        raise UserError(_nobody_asked(name, frozen))
    people = len({person.id for _, _, person in judged})
    run = made.runs[0] if made is not None and made.runs else ""
    return Flagged(name, texts, tuple(asked), people, frozen.digest, run)


Votes = dict[tuple[str, str], list[Sequence[str]]]
"""By prompt and response: the flags that each judgment of them set."""


def _texts(said: Votes) -> tuple[FlaggedText, ...]:
    """Each text once, in the order in which it was first judged. A text without a prompt is a unit
    of its own."""
    texts = []
    for n, ((prompt, response), votes) in enumerate(said.items()):
        names = sorted({name for flags in votes for name in flags})
        shares = {name: sum(name in flags for flags in votes) / len(votes) for name in names}
        texts.append(FlaggedText(prompt, response, shares, prompt or f"text {n}"))
    return tuple(texts)


def _votes(judged: Iterable[Judged]) -> Votes:
    said: Votes = defaultdict(list)
    for task, judgment, _ in judged:
        for i, response in enumerate(task.responses):
            if task.responses.index(response) == i:  # people see equal texts once
                said[task.prompt.text, response].append(judgment.answer.flags[i])
    return said


def _names(texts: Iterable[FlaggedText]) -> tuple[str, ...]:
    return tuple(sorted({name for text in texts for name in text.shares}))


def _nobody_asked(name: str, frozen: FrozenRound) -> str:
    """Why a round trains no guard."""
    if frozen.settings.flags:
        return (
            f"label guard: in the round {name!r} people were asked for flags "
            f"({', '.join(frozen.settings.flags)}), but nobody whose answers train something has "
            "judged a response. Ask more people in another round."
        )
    return (
        f"label guard: in the round {name!r} nobody was asked for flags. Ask for them in another "
        "round: preflab label RUN --name OTHER --flags FILE (a name on each line), or --flags "
        "instructgpt"
    )


# --- a file ---


def of_file(path: Path) -> Flagged:
    """Rows with ``response``, ``flags`` (a list of names, [] for none) and, if there is one, the
    ``prompt``. Equal rows are one text, which each of them has judged once."""
    said: Votes = defaultdict(list)
    for prompt, response, flags in read_table(path, _row):
        said[prompt, response].append(flags)
    texts = _texts(said)
    asked = _names(texts)
    if not asked:
        raise UserError(
            f"label guard: no row of {path} has a flag. Each row needs a list 'flags': the names "
            'that were set, such as ["toxic"], or [].'
        )
    return Flagged(str(path), texts, asked, 0, path_digest(path))


def _row(row: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    prompt = "" if row.get("prompt") is None else fields.text(row, "prompt", blank=True)
    return prompt, fields.text(row, "response", blank=True), fields.texts(row, "flags")
