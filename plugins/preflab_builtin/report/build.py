"""From run folders to the report: reads them, groups them into arms, decides claims, writes
files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from preflab.errors import UserError
from preflab.storage.durable import in_words, write_json
from preflab.storage.run_folder import MANIFEST, REPORT, SUMMARY
from preflab.study import ClaimConfig, StudyConfig
from preflab_builtin.report.arms import Arm, arms, in_order, presented
from preflab_builtin.report.claims import decide, named
from preflab_builtin.report.costs import costs
from preflab_builtin.report.gather import Gathered, gather
from preflab_builtin.report.kept import summary
from preflab_builtin.report.markdown import markdown
from preflab_builtin.report.notes import notes
from preflab_builtin.report.page import page
from preflab_builtin.report.pictures import figures
from preflab_builtin.report.report import Report, Study
from preflab_builtin.report.runs import RunResult


def build_report(folders: Sequence[Path], out: Path) -> Report:
    """Compare the runs below ``folders`` (run folders, multirun folders, or folders of these), and
    write the page ``out``, the same as Markdown, and the claims as JSON, if the disk lets it.

    Raises `UserError` if there are no runs at all.
    """
    gathered = found_in(folders)
    all_arms = arms(gathered.runs)
    studies = tuple(studies_of(gathered.runs, all_arms))
    decisions = [decision for study in studies for decision in study.decisions]
    all_arms = presented(all_arms, [label for study in studies for label in study.featured])
    report = Report(
        gathered,
        tuple(all_arms),
        tuple(notes(gathered.runs, all_arms, decisions)),
        tuple(costs(gathered.runs)),
        studies,
        _commands(gathered.runs),
        figures(all_arms, joined(studies)),
    )
    try:
        _write(report, out)
    except OSError as error:
        return replace(report, unwritten=in_words(error))
    return report


def found_in(folders: Sequence[Path]) -> Gathered:
    """The runs and failures below the folders; `UserError` if there are none at all."""
    gathered = gather(folders)
    if not gathered.runs and not gathered.failures:
        raise UserError(
            f"There is no run in {', '.join(map(str, folders))}: a run folder holds manifest.json. "
            "Allowed: runs/CONFIG/ID, or a folder above."
        )
    return gathered


def verdicts(folders: Sequence[Path]) -> dict[str, str]:
    """What the claims of a study stand at, by its run folders."""
    runs = gather(folders).runs
    studies = studies_of(runs, arms(runs))
    return {d.name: d.verdict.value for study in studies for d in study.decisions}


def _write(report: Report, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.write_text(page(report), encoding="utf8")
    os.replace(temporary, out)
    out.with_suffix(".md").write_text(markdown(report), encoding="utf8")
    _write_claims(report, out)


def joined(studies: Sequence[Study]) -> dict[str, list[str]]:
    """Labels of the arms that pictures join by a line, by the name of the series. If several
    studies have series, the name begins with that of the study."""
    several = sum(bool(study.series) for study in studies) > 1
    return {
        f"{study.name}: {name}" if several else name: labels
        for study in studies
        for name, labels in study.series.items()
    }


def studies_of(runs: Sequence[RunResult], all_arms: Sequence[Arm]) -> Iterator[Study]:
    """The runs by config name; each study decides its own claims. all_arms: those of all studies,
    as the report labels them."""
    for name in dict.fromkeys(run.config_name for run in runs):
        own = [run for run in runs if run.config_name == name]
        members = arms(own)  # these labels need not say which study they are of
        labels = [arm.label for arm in all_arms if arm.config_name == name]
        label_of = dict(zip((arm.label for arm in members), labels, strict=True))
        declared = next((run.study for run in own if run.study is not None), StudyConfig())
        by_name = named(members)
        series = {
            key: [label_of[arm.label] for word in words for arm in by_name.get(in_order(word), [])]
            for key, words in declared.series.items()
        }
        decisions = tuple(decide(declared, members))
        words = list(_words([d.claim for d in decisions], declared))
        featured = [
            label_of[arm.label] for word in words for arm in by_name.get(in_order(word), [])
        ]
        command = "; ".join(_commands(own))
        yield Study(name, declared, command, decisions, series, tuple(featured))


def _words(claims: Sequence[ClaimConfig], declared: StudyConfig) -> Iterator[str]:
    """The arms that claims are about, also those of series; those of curves come last."""
    pairs = [word for claim in claims for word in (claim.arm, claim.versus or "")]
    for word in (*pairs, *(word for claim in claims for word in claim.frontier)):
        yield from declared.series.get(word, [word])


def _commands(runs: Sequence[RunResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run.command for run in runs))


def _write_claims(report: Report, out: Path) -> None:
    """summary.json next to report.html, and NAME.json next to a page of another name; of several
    studies summary-STUDY.json each. In the folder of a
    run, summary.json is the run's, and one job decides nothing."""
    if (out.parent / MANIFEST).exists():
        return
    for study in report.studies:
        if study.decisions:
            only = len(report.studies) == 1
            stem = Path(SUMMARY).stem if out.name == REPORT else out.stem
            name = f"{stem}.json" if only else f"{stem}-{study.name.replace('/', '-')}.json"
            write_json(out.with_name(name), summary(study, report.arms))
