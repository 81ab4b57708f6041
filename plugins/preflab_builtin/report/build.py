"""From run folders to the report: gather, group into arms, say what limits the comparison, write the page."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from preflab.artifacts import write_json
from preflab.errors import UserError
from preflab.study import StudyConfig
from preflab_builtin.report.accounts import losses
from preflab_builtin.report.arms import Arm, arms
from preflab_builtin.report.claims import Decision, as_json, decide
from preflab_builtin.report.costs import StageCost, costs
from preflab_builtin.report.runs import Gathered, gather
from preflab_builtin.report.tables import (
    claims_markdown,
    claims_table,
    columns,
    ladder_markdown,
    ladder_tables,
    markdown_text,
    plain,
)

WIDTH_OF_A_FILE = 160


@dataclass(frozen=True)
class Report:
    """Everything that the page and the table show."""

    gathered: Gathered
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    costs: tuple[StageCost, ...]
    study: StudyConfig
    decisions: tuple[Decision, ...]
    command: str


def build_report(folders: Sequence[Path], out: Path) -> Report:
    """Compare the runs below ``folders`` (run folders, multirun folders, or folders of these) and write the page ``out``.
    Raises `UserError` if there is no run at all."""
    from preflab_builtin.report.page import page

    gathered = gather(folders)
    if not gathered.runs and not gathered.failures:
        given = ", ".join(map(str, folders))
        raise UserError(
            f"There is no run in {given}: a run folder holds manifest.json. Allowed: runs/CONFIG/ID, or a folder above."
        )
    found = tuple(arms(gathered.runs))
    declared = next((run.study for run in gathered.runs if run.study is not None), StudyConfig())
    commands = list(dict.fromkeys(run.command for run in gathered.runs))
    decisions = tuple(decide(declared, found))
    said = (*notes(found), *([_about(decisions)] if decisions else []))
    report = Report(gathered, found, said, tuple(costs(gathered.runs)), declared, decisions, "; ".join(commands))
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.write_text(page(report), encoding="utf8")
    os.replace(temporary, out)
    out.with_suffix(".md").write_text(markdown(report), encoding="utf8")
    if decisions:
        name = gathered.runs[0].config_name
        write_json(out.with_name("summary.json"), as_json(name, report.command, decisions))
    return report


def markdown(report: Report) -> str:
    """The report's tables as Markdown, for a notebook or a pull request."""
    parts = [f"# {markdown_text(report.study.title or 'Comparison of runs')}", *map(markdown_text, report.notes)]
    if report.decisions:
        parts.append(claims_markdown(report.decisions))
    if columns(report.arms):
        parts.append(ladder_markdown(report.arms))
    parts += [markdown_text(f"No result: {f.folder}: {f.error}") for f in report.gathered.failures]
    return "\n\n".join(parts) + "\n"


def _about(decisions: Sequence[Decision]) -> str:
    """How to read several claims."""
    return (
        f"{len(decisions)} claims, each decided by its own 95 % interval, not corrected for their number: of twenty true nulls "
        "one would be expected to seem decided."
    )


def report_text(report: Report, out: Path) -> str:
    """The table, the notes and the failures for a terminal, as wide as it is (or wide enough for a file)."""
    from rich.console import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_A_FILE
    stream = StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    if columns(report.arms):
        for table in ladder_tables(report.arms, width):
            console.print(table)
    if report.decisions:
        console.print(claims_table(report.decisions))
    lines = [*report.notes]
    for failure in report.gathered.failures:
        code = "" if failure.exit_code is None else f" (exit code {failure.exit_code})"
        lines.append(f"No result: {failure.folder}{code}: {failure.error}")
    # Lines are not wrapped: paths in them are copied.
    return "\n".join([*(line.rstrip() for line in stream.getvalue().splitlines()), *map(plain, lines), f"Report: {out}"])


def notes(found: Sequence[Arm]) -> list[str]:
    """What a reader must know before believing the table."""
    said = []
    runs = [run for arm in found for run in arm.runs]
    if any(name.startswith(("gold/", "win_rate/gold")) for arm in found for name in arm.measures):
        said.append("The world is simulated: utility is known exactly, and the people who rank and judge are programs.")
    if any(run.fast for run in runs):
        said.append("Made with debug=fast: it shows that everything runs, and no number means anything.")
    several = [arm for arm in found if len(arm.runs) > 1]
    if runs and any(arm.measures for arm in found):
        how = "Student's t over the seeds" if several else "over prompts, documents or pairs"
        mixed = " (with one seed: over prompts, documents or pairs)" if several and len(several) < len(found) else ""
        said.append(
            f"Intervals are 95 %, {how}{mixed}." + ("" if several else " With one seed they say nothing about other seeds.")
        )
    shared = list(dict.fromkeys(stage for arm in several for stage in arm.shared_stages()))
    if shared:
        said.append(f"All seeds share one {', '.join(shared)}: the variance of these stages is not in the intervals.")
    gone = losses(found)
    if gone:
        said.append(gone)
    judged = {(run.baseline, run.prompts) for run in runs if run.measures}
    if len(judged) > 1:
        text = ", ".join(f"{n} prompts against {baseline or 'nobody'}" for baseline, n in sorted(judged))
        said.append(f"Not all runs were judged alike ({text}): compare them with care.")
    return said
