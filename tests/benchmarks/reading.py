"""CPU time and memory of reading rankings from a file, next to ``json.loads`` of its lines.

PYTHONPATH=tests python -m benchmarks.reading FOLDER      # a line of JSON for each shape of rows
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.shapes import READING_TARGET, SEED
from preflab.interfaces import Filter

ROWS = 50_000
"""Of 2.1 kB: 105 MB, of which the last third is read when the first lies in a file."""
TIMES = 3


def text(draw: random.Random, words: list[str], size: int) -> str:
    """Sentences of about so many characters, with line breaks and quotes."""
    parts: list[str] = []
    while size > 0:
        sentence = " ".join(draw.choices(words, k=draw.randint(5, 18))).capitalize()
        parts.append(sentence + draw.choice((". ", ". ", "? ", ".\n\n", '." ')))
        size -= len(parts[-1])
    return "".join(parts).strip()


def pair(asked: str, better: str, worse: str) -> dict[str, Any]:
    """TRL's preference."""
    return {"prompt": asked, "chosen": better, "rejected": worse}


def chat(asked: str, better: str, worse: str) -> dict[str, Any]:
    """The same as conversations, with scores that nobody reads, as in UltraFeedback."""
    user = {"role": "user", "content": asked}
    replies = ({"role": "assistant", "content": said} for said in (better, worse))
    chosen, rejected = ([user, reply] for reply in replies)
    return {"chosen": chosen, "rejected": rejected, "score_chosen": 4.5, "score_rejected": 3.0}


def kwise(asked: str, better: str, worse: str) -> dict[str, Any]:
    """Four answers with ranks, two of them tied, an id and a source."""
    cuts = ((said, len(said) // 2) for said in (better, worse))
    halves = [half for said, at in cuts for half in (said[:at], said[at:])]
    about = {"id": asked.partition(".")[0], "source": "web"}
    return {**about, "prompt": asked, "completions": halves, "ranks": [1, 2, 2, 4]}


FORMS: dict[str, Callable[[str, str, str], dict[str, Any]]] = {
    "pair": pair,
    "chat": chat,
    "kwise": kwise,
}


def write(path: Path, form: str, rows: int) -> None:
    """Rows of a form, the same at every call."""
    draw = random.Random(SEED)
    letters = "etaoinshrdlucmfwypvbgk"
    words = [
        "".join(draw.choices(letters, k=draw.choice((1, 2, 3, 3, 4, 5, 7)))) for _ in range(5000)
    ]
    with path.open("w") as stream:
        for i in range(rows):
            sizes = (200, draw.randint(500, 1250), draw.randint(500, 1250))
            asked, better, worse = (text(draw, words, size) for size in sizes)
            row = FORMS[form](f"{i}. {asked}", better, worse + " “naïve café”" * (i % 20 == 0))
            stream.write(json.dumps(row) + "\n")


def measured(path: Path) -> dict[str, float]:
    """Reading all rows, going through the standard filters, and ``json.loads``, in turn; medians in
    CPU seconds per million rows. peak_mb: the most that this process held, Python included."""
    from preflab.engine.sifting import sift
    from preflab_builtin.files.config import FilesConfig
    from preflab_builtin.files.source import parse_file
    from preflab_builtin.filters import config, privacy, repetition, splits

    settings = FilesConfig(rankings=str(path)).row_settings("rankings")
    read = parse_file.__wrapped__  # type: ignore[attr-defined]  # without what remembers the result
    seconds: dict[str, list[float]] = {"json": [], "read": [], "filters": []}
    rows = 0
    for _ in range(TIMES):
        began = time.process_time()
        with path.open("rb") as stream:
            rows = sum(1 for line in stream if json.loads(line))
        seconds["json"].append(time.process_time() - began)
        began = time.process_time()
        records = read(path, settings).records
        seconds["read"].append(time.process_time() - began)
        standard: dict[str, Filter] = {
            "split": splits.by_user(config.SplitByUserConfig(test=0.15)),
            "deduplicate": repetition.Deduplicate(config.DeduplicateConfig()),
            "private": privacy.DropPrivate(config.PrivateConfig()),
        }
        began = time.process_time()
        kept, _ = sift(records, standard, "rankings", lambda record: None)
        seconds["filters"].append(time.process_time() - began)
        assert len(kept) == rows  # nothing is there twice or private
    found = {name: statistics.median(times) / rows * 1e6 for name, times in seconds.items()}
    return {**found, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def reading(folder: Path) -> Iterator[dict[str, Any]]:
    """One line per form of rows, each measured in a process of its own."""
    for form in FORMS:
        path = folder / f"{form}.jsonl"
        write(path, form, ROWS)
        words = [sys.executable, "-m", "benchmarks.reading", "--of", str(path)]
        quiet = {**os.environ, "PREFLAB_QUIET": "1"}
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=quiet)
        path.unlink()
        found = json.loads(done.stdout)
        line = {"name": "reading", "form": form, "unit": "CPU seconds per million rows", **found}
        yield {**line, "ratio": found["read"] / found["json"], "target": READING_TARGET}


def main(arguments: list[str]) -> None:
    """Measure one file, or all forms."""
    if arguments[0] == "--of":
        print(json.dumps(measured(Path(arguments[1]))))
        return
    for line in reading(Path(arguments[0])):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
