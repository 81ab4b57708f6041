"""The pool: K responses to each prompt, as the samples stage leaves them for people to judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from preflab.errors import UserError
from preflab.records import Prompt, prompt_from_json, to_json

POOL_FILE = "pool.jsonl"
"""In the artifact of the samples stage: a line for each prompt, training prompts first."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt and the K responses to it, in the order in which they were sampled."""

    prompt: Prompt
    responses: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """digest: sha256 of the file's bytes. Labels name it, so that nobody takes them for labels of
    other responses."""

    answered: tuple[Answered, ...]
    digest: str


def write_pool(folder: Path, answered: Iterable[Answered]) -> None:
    """Write the pool into a folder: JSON with sorted keys, all but ASCII escaped, so that equal
    pools are equal bytes."""
    with (folder / POOL_FILE).open("w", encoding="ascii", newline="\n") as stream:
        for one in answered:
            row = {"prompt": to_json(one.prompt), "responses": list(one.responses)}
            stream.write(json.dumps(row, sort_keys=True) + "\n")


def read_pool(folder: Path) -> Pool:
    """The pool in the artifact of a samples stage. `UserError` if there is none."""
    try:
        data = (folder / POOL_FILE).read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no {POOL_FILE}: it is not the artifact of a samples stage."
        ) from None
    rows = map(json.loads, data.splitlines())
    answered = [Answered(prompt_from_json(r["prompt"]), tuple(r["responses"])) for r in rows]
    return Pool(tuple(answered), hashlib.sha256(data).hexdigest())
