"""From run folders to the report: gather, group into arms, say what limits the comparison, write the page."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.storage.artifacts import write_json
from preflab.study import StudyConfig
from preflab_builtin.report.accounts import losses
from preflab_builtin.report.arms import Arm, arms, doubles, in_order
from preflab_builtin.report.claims import Decision, as_json, decide, named
from preflab_builtin.report.costs import StageCost, costs
from preflab_builtin.report.runs import MANIFEST, SUMMARY, Gathered, RunResult, gather
from preflab_builtin.report.tables import (
    claims_table,
    columns,
    ladder_tables,
    plain,
    remarks,
    titled,
)

if TYPE_CHECKING:
    from preflab_builtin.report.plots import Picture

WIDTH_OF_A_FILE = 160


@dataclass(frozen=True)
class Report:
    """Everything that the page and the table show. figures: pictures by heading, in their order."""

    gathered: Gathered
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    costs: tuple[StageCost, ...]
    studies: tuple[Study, ...]
    command: str
    figures: Mapping[str, Sequence[Picture]]

    @property
    def title(self) -> str:
        """The studies' titles."""
        titles = dict.fromkeys(
            study.declared.title for study in self.studies if study.declared.title
        )
        return "; ".join(titles) or "Comparison of runs"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The claims of all studies."""
        return tuple(decision for study in self.studies for decision in study.decisions)


@dataclass(frozen=True)
class Study:
    """The runs of one config: what it declares, and what its own arms decide. series: labels as they are in the report."""

    name: str
    declared: StudyConfig
    command: str
    decisions: tuple[Decision, ...]
    series: Mapping[str, list[str]]


def build_report(folders: Sequence[Path], out: Path) -> Report:
    """Compare the runs below ``folders`` (run folders, multirun folders, or folders of these) and write the page ``out``.
    Raises `UserError` if there is no run at all."""
    from preflab_builtin.report.markdown import markdown
    from preflab_builtin.report.page import page

    gathered = gather(folders)
    if not gathered.runs and not gathered.failures:
        given = ", ".join(map(str, folders))
        raise UserError(
            f"There is no run in {given}: a run folder holds manifest.json. Allowed: runs/CONFIG/ID, or a folder above."
        )
    found = tuple(arms(gathered.runs))
    studies = tuple(_studies(gathered.runs, found))
    commands = "; ".join(dict.fromkeys(run.command for run in gathered.runs))
    decisions = [decision for study in studies for decision in study.decisions]
    said = (
        *notes(found),
        *_doubled(gathered.runs, found),
        *([_about(decisions)] if decisions else []),
    )
    report = Report(
        gathered,
        found,
        said,
        tuple(costs(gathered.runs)),
        studies,
        commands,
        _figures(found, studies),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.write_text(page(report), encoding="utf8")
    os.replace(temporary, out)
    out.with_suffix(".md").write_text(markdown(report), encoding="utf8")
    _write_claims(report, out)
    return report


def _figures(found: Sequence[Arm], studies: Sequence[Study]) -> dict[str, Sequence[Picture]]:
    """All pictures, in the order in which they stand."""
    from preflab_builtin.report.plots import (
        TIME,
        drift,
        iterations,
        learning_curves,
        scatters,
        win_rates,
    )

    pictures: dict[str, Sequence[Picture]] = {
        "Reward against tax": scatters(found, joined(studies)),
        "Over-optimisation": drift(found),
        "Win rates": win_rates(found),
        "Learning curves": learning_curves(found),
        TIME: iterations(found),
    }
    return {heading: some for heading, some in pictures.items() if some}


def joined(studies: Sequence[Study]) -> dict[str, list[str]]:
    """Labels of the arms that pictures join by a line, by the name of the series; of several studies with the study's."""
    several = len([study for study in studies if study.series]) > 1
    return {
        f"{study.name}: {k}" if several else k: v
        for study in studies
        for k, v in study.series.items()
    }


def _studies(runs: Sequence[RunResult], found: Sequence[Arm]) -> Iterator[Study]:
    """The runs by config name; each decides its own claims. found: the arms of all of them, as the report labels them."""
    for name in dict.fromkeys(run.config_name for run in runs):
        own = [run for run in runs if run.config_name == name]
        members = arms(own)  # an arm's name need not say which study it is of
        declared = next((run.study for run in own if run.study is not None), StudyConfig())
        labels = dict(
            zip(
                (arm.label for arm in members),
                (arm.label for arm in found if arm.config_name == name),
                strict=True,
            )
        )
        names = named(members)
        series = {
            k: [labels[a.label] for word in v for a in names.get(in_order(word), [])]
            for k, v in declared.series.items()
        }
        commands = "; ".join(dict.fromkeys(run.command for run in own))
        yield Study(name, declared, commands, tuple(decide(declared, members)), series)


def _write_claims(report: Report, out: Path) -> None:
    """summary.json beside the page; of several studies summary-NAME.json each. In a run's own folder summary.json is the run's,
    and one job decides nothing."""
    if (out.parent / MANIFEST).exists():
        return
    decided = [study for study in report.studies if study.decisions]
    for study in decided:
        name = (
            SUMMARY if len(report.studies) == 1 else f"summary-{study.name.replace('/', '-')}.json"
        )
        write_json(out.with_name(name), as_json(study.name, study.command, study.decisions))


def _doubled(runs: Sequence[RunResult], found: Sequence[Arm]) -> list[str]:
    """What to say of runs that were made twice and differ in something that is neither an override nor a seed."""
    pairs = doubles(runs, found)
    if not pairs:
        return []
    told = "; ".join(f"{other.folder} counts, {run.folder} does not" for run, other in pairs)
    return [
        f"The same overrides and seed gave different results (another version of the code, or of the data): {told}."
    ]


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
    console = Console(
        file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False
    )
    if columns(report.arms):
        for table in ladder_tables(report.arms, width):
            console.print(table)
    if report.decisions:
        console.print(claims_table(report.decisions))
    lines = [*report.notes, *remarks(report.decisions)]
    for failure in report.gathered.failures:
        code = "" if failure.exit_code is None else f" (exit code {failure.exit_code})"
        lines.append(f"No result: {failure.folder}{code}: {failure.error}")
    # Lines are not wrapped: paths in them are copied.
    return "\n".join(
        [
            *(line.rstrip() for line in stream.getvalue().splitlines()),
            *map(plain, lines),
            f"Report: {out}",
        ]
    )


def notes(found: Sequence[Arm]) -> list[str]:
    """What a reader must know before believing the table."""
    said = []
    runs = [run for arm in found for run in arm.runs]
    if any(name.startswith(("gold/", "win_rate/gold")) for arm in found for name in arm.measures):
        said.append(
            "The world is simulated: utility is known exactly, and the people who rank and judge are programs."
        )
    if any(run.fast for run in runs):
        said.append(
            "Made with debug=fast: it shows that everything runs, and no number means anything."
        )
    several = [arm for arm in found if len(arm.runs) > 1]
    if runs and any(arm.measures for arm in found):
        how = "Student's t over the seeds" if several else "over prompts, documents or pairs"
        mixed = (
            " (with one seed: over prompts, documents or pairs)"
            if several and len(several) < len(found)
            else ""
        )
        said.append(
            f"Intervals are 95 %, {how}{mixed}."
            + ("" if several else " With one seed they say nothing about other seeds.")
        )
    shared = list(dict.fromkeys(stage for arm in several for stage in arm.shared_stages()))
    if shared:
        said.append(
            f"All seeds share one {', '.join(shared)}: the variance of these stages is not in the intervals."
        )
    gone = losses(found)
    if gone:
        said.append(gone)
    said += _baselines(runs)
    judged = {(run.baseline, run.prompts) for run in runs if run.measures}
    if len(judged) > 1:
        text = ", ".join(
            f"{n} prompts against {baseline or 'nobody'}" for baseline, n in sorted(judged)
        )
        said.append(f"Not all runs were judged alike ({text}): compare them with care.")
    return said


def _baselines(runs: Sequence[RunResult]) -> list[str]:
    """Whether runs of one seed were compared with different policies in the same role."""
    by_seed: dict[tuple[int, str], set[str]] = {}
    for run in runs:
        if run.baseline and any(name.startswith("win_rate/") for name in run.measures):
            by_seed.setdefault((run.seed, run.baseline), set()).add(run.baseline_recipe())
    roles = sorted({role for (_, role), recipes in by_seed.items() if len(recipes) > 1})
    return [
        f"Arms of one seed do not share one {titled(role)}: each win rate is against the arm's own {titled(role)}. Compare them "
        "within an arm, and arms with one another by their true utility or reward."
        for role in roles
    ]
