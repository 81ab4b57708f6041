"""The command ``preflab power``: its words, its table and its JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab import terminal
from preflab.errors import UserError
from preflab.storage.runs import folder_of

if TYPE_CHECKING:
    from rich.table import Table

    from preflab_builtin.power.claims import Outlook
    from preflab_builtin.report.report import Study
    from preflab_builtin.report.runs import RunResult


def power(words: list[str]) -> int:
    """power STUDY|FOLDER...: how many seeds, and hours, decide each claim of a study, from its
    finished runs"""
    parser = argparse.ArgumentParser(prog="preflab power", description=power.__doc__)
    parser.add_argument(
        "studies",
        nargs="+",
        metavar="STUDY|FOLDER",
        help="a study's name (its runs in runs/STUDY), a multirun folder, or run folders",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(words)
    from preflab.intervals import LEVEL
    from preflab_builtin.power.claims import HOUR, as_json, outlooks, seconds_of_all
    from preflab_builtin.power.detecting import WANTED
    from preflab_builtin.report.findings import DEBUG

    studies, left_out = _studies([_folder(word) for word in options.studies])
    found = [(study, outlooks(study)) for study, _ in studies]
    if not any(row.sources for _, rows in found for row in rows):
        raise UserError(_why_nothing([row for _, rows in found for row in rows]))
    facts = []
    for (study, rows), (_, runs) in zip(found, studies, strict=True):
        hours, fast = seconds_of_all(runs) / HOUR, any(run.fast for run in runs)
        facts.append(
            {
                "study": study.name,
                "power": WANTED,
                "level": LEVEL,
                "without_result": left_out,
                "hours_of_a_seed": None if fast else hours,
                "claims": list(map(as_json, rows)),
            }
        )
        if not options.json and fast:
            print(f"{DEBUG} So nothing is said of seeds and hours.")
        if not options.json:
            _show(study, rows, [] if fast else _remarks(study, rows, hours, left_out))
    if options.json:
        print(json.dumps(facts, indent=1))
    return 0


def _folder(word: str) -> Path:
    """The folder that a word names: itself, that of a study's runs, or that of runs of this
    name."""
    for folder in (Path(word), Path("runs") / word):
        if folder.is_dir():
            return folder
    with contextlib.suppress(UserError):
        return folder_of(word)
    raise UserError(
        f"{word} is neither a folder nor a study with runs in runs/{word}. Run the study first "
        "(preflab -cn STUDY; two seeds are enough for a pilot), or give the folder of its runs."
    )


def _studies(folders: Sequence[Path]) -> tuple[list[tuple[Study, list[RunResult]]], int]:
    """The studies with claims among the runs, each with its runs; and how many jobs have no
    result. `UserError` if there are none."""
    from preflab_builtin.report.arms import arms
    from preflab_builtin.report.build import found_in, studies_of

    gathered, where = found_in(folders), ", ".join(map(str, folders))
    if not gathered.runs:
        raise UserError(
            f"No run in {where} has finished: {gathered.without_result} without a result. The "
            "command that started them, given again, goes on with them."
        )
    studies = [
        (study, [run for run in gathered.runs if run.config_name == study.name])
        for study in studies_of(gathered.runs, arms(gathered.runs))
        if study.decisions
    ]
    if not studies:
        raise UserError(
            f"The runs in {where} declare no claims, so there is nothing to decide. Declare "
            "study.claims in a study file (sweeps/README.md), or run a study that has some: "
            "preflab -cn headline."
        )
    return studies, gathered.without_result


def _why_nothing(rows: Sequence[Outlook]) -> str:
    """Why no claim can be computed, and the cure."""
    reasons = dict.fromkeys(f"{row.decision.name}: {row.why}" for row in rows)
    lines = "\n".join(f"  {reason}" for reason in reasons)
    return (
        "Nothing can be said of any claim: it takes two seeds of the same arms. Run the same "
        f"command with one more seed (seed=1,2), and give both folders.\n{lines}"
    )


def _show(study: Study, rows: Sequence[Outlook], remarks: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(width=terminal.width(), highlight=False)
    console.print(_table(study, rows))
    for line in remarks:
        print(f"- {line}")


def _table(study: Study, rows: Sequence[Outlook]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from preflab_builtin.report.wording import plain

    table = Table(title=plain(study.title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("claim", ratio=1)
    for head in (
        "difference",
        "verdict",
        "SD over\nseeds",
        "variance from",
        "detectable",
        "seeds\nthere",
        "seeds\nfor 80 %",
        "hours\nmore",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(plain_cell) for plain_cell in _cells(row)))
    return table


def _cells(row: Outlook) -> list[str]:
    from preflab_builtin.power.detecting import MOST_SEEDS
    from preflab_builtin.report.contents import claimed, unit_of
    from preflab_builtin.report.wording import NOTHING, plain

    d = row.decision
    scale, digits, _ = unit_of(d.claim.measure)
    difference = claimed(d)[0] if d.estimate is not None else NOTHING
    statement = plain(d.claim.statement)
    first = [f"{statement} ({row.why})" if row.why else statement, difference, d.verdict.value]
    if row.sources is None or math.isnan(row.detectable):
        return [*first, NOTHING, NOTHING, NOTHING, str(row.seeds), NOTHING, NOTHING]
    parts = row.sources.of_the_mean()
    total = sum(parts.values())
    shares = [f"{name} {100 * part / total:.0f} %" for name, part in parts.items() if total]
    return [
        *first,
        f"{scale * row.spread:.{digits}f}",
        "\n".join(shares),
        f"{scale * row.detectable:.{digits}f}",
        str(row.seeds),
        f"> {MOST_SEEDS}" if row.needed is None else str(row.needed),
        NOTHING if row.hours is None else f"{row.hours:.1f}",
    ]


def _remarks(
    study: Study, rows: Sequence[Outlook], hours_of_a_seed: float, left_out: int
) -> list[str]:
    """What the numbers mean, what cannot be told apart, and what all claims together take."""
    from preflab_builtin.power.claims import is_open
    from preflab_builtin.power.detecting import MOST_SEEDS
    from preflab_builtin.report.wording import count

    lines = [
        "detectable: the true difference (beyond the margin) that the seeds there find with a "
        "power of 80 %, by the interval that decides. seeds for 80 %: if the true difference is "
        "the measured one, which few seeds know badly; choose the difference that matters to you "
        "and compare.",
        "variance from: its share of the variance of the difference, at the seeds there are; rest: "
        "what neither seeds nor prompts explain, such as one response to one prompt. people: that "
        "other people would say something else, which more seeds do not lessen.",
        "hours more: one job after the other, from the recorded costs of the artifacts.",
    ]
    looks = study.declared.seeds.looks if study.declared.seeds else ()
    if len(looks) > 1:
        lines.append(
            f"The study looks at {', '.join(map(str, looks))} seeds: detectable and seeds for 80 % "
            "count with the levels of these looks."
        )
    lines += dict.fromkeys(text for row in rows if row.sources for text in row.sources.unknown)
    hopeless = [row for row in rows if is_open(row) and row.needed is None]
    for row in hopeless:
        lines.append(
            f"{row.decision.name}: more than {MOST_SEEDS} seeds, or no number of them: the "
            "difference is too small, or the prompts limit what seeds can show."
        )
    needed = [row.needed for row in rows if is_open(row) and row.needed is not None]
    missing = [row.missing for row in rows if is_open(row) and row.missing]
    if needed:
        others = f" but {len(hopeless)}" if hopeless else ""
        lines.append(
            f"All undecided claims{others}: {count(max(needed), 'seed')}, "
            f"{max(missing, default=0) * hours_of_a_seed:.1f} hours more for all arms "
            f"({60 * hours_of_a_seed:.1f} minutes a seed)."
        )
    if left_out:
        lines.append(f"{count(left_out, 'job')} without a result left out.")
    return lines
