"""Tiny runs of the embedded world whose people are asked, through the command line."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from end_to_end.runs import preflab
from preflab_people.judgments import Answer, Task
from preflab_people.store import Store

PLAIN = ("trackers.tensorboard=null", "--no-plugin", "progress")
TINY = (*PLAIN, "debug=fast", "runtime.threads=1", "algorithm=none", "evaluation=none")


def said(folder: Path, *words: str, code: int = 0) -> str:
    """What ``preflab WORDS`` prints; it must end with the exit code."""
    log = folder / "log.txt"
    before = log.stat().st_size if log.exists() else 0
    ended = preflab(folder, *words)
    text = log.read_bytes()[before:].decode()
    assert ended == code, (words, ended, text[-3000:])
    assert "Traceback" not in text
    return text


def manifest(folder: Path) -> dict[str, Any]:
    """That of the last run in a folder."""
    paths = sorted(folder.glob("runs/**/manifest.json"), key=lambda path: path.stat().st_mtime)
    made: dict[str, Any] = json.loads(paths[-1].read_text())
    return made


def last_run(folder: Path) -> str:
    """The folder of the last run, as people write it."""
    return f"runs/config/{manifest(folder)['run']}"


def recipes(folder: Path) -> dict[str, str]:
    """By stage of the last run."""
    return {row["stage"]: row["recipe"] for row in manifest(folder)["stages"]}


def artifact(folder: Path, stage: str) -> Path:
    """The artifact of a stage of the last run."""
    (row,) = [row for row in manifest(folder)["stages"] if row["stage"] == stage]
    return folder / str(row["artifact"])


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder: Path) -> dict[str, str]:
    """sha256 of each file with weights of a model."""
    found = sorted(folder.rglob("*.safetensors"))
    assert found
    digests = (hashlib.sha256(path.read_bytes()).hexdigest() for path in found)
    return {str(path.relative_to(folder)): d for path, d in zip(found, digests, strict=True)}


def processes_in(folder: Path) -> list[str]:
    """Processes that work in a folder, of this user."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = os.readlink(place)
        except OSError:  # it has ended, or is another user's
            continue
        if where == str(folder) and int(place.parts[2]) != os.getpid():
            found.append(place.parts[2])
    return found


def answer_everything(
    folder: Path, answer: Callable[[Task], Answer], most: int = 10**6, note: str = ""
) -> int:
    """Everybody who was invited into a round answers what they are given, at most so many in all;
    how many were answered. note: put before their pseudonym in a note."""
    number = 0
    with Store.open(folder / "store.sqlite") as store:
        number_before, now = len(store.snapshot().judgments), time.time()
        for person in [p for p in store.people() if p.state == "active"]:
            store.consent(person.id, store.consent_text().version, now)
            while number < most and (given := store.next_task(person.id, now)) is not None:
                number, now = number + 1, now + 40
                answered = answer(given.task)
                if note:
                    answered = replace(answered, notes=f"{note} {person.id}")
                key = f"key-{number_before + number:08}"
                store.submit(person.id, given.task.id, answered, key, 30.0, given.order, 1, now=now)
    return number


def by_alphabet(responses: Sequence[str]) -> tuple[int, ...]:
    """Ranks in the order of the alphabet."""
    return tuple(sorted(set(responses)).index(text) + 1 for text in responses)
