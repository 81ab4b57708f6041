"""A command line that runs something, or that asks Hydra to show something: checked first, then
started."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.composing.compose import CommandLine, compose, flags_first, job_yaml, parse
from preflab.composing.search_path import config_root, registry
from preflab.composing.untrusted import refuse_code_in_config
from preflab.console.completion import SCRIPTS, hydras, own_answers
from preflab.console.startup import skip_last_collection
from preflab.errors import PreflabError, SweepError, UserError, Waiting
from preflab.garbage import seldom_searched
from preflab.launched import is_main, world_size
from preflab.storage.run_folder import REPORT, LedgerLine, read_ledger

if TYPE_CHECKING:
    from preflab.jobs.places import Places
    from preflab.planning.reading import Job


def launch(words: Sequence[str]) -> int:
    """Check everything that a command line asks for, run it, and show the comparison."""
    sys.argv = [sys.argv[0], *flags_first(words)]  # what manifests record and Hydra reads
    with seldom_searched():
        line = parse(words)
    if line.multirun and world_size() > 1:
        raise UserError(
            "A multirun cannot be started under torchrun: start 'preflab -m ... "
            "runtime.processes=N' alone."
        )
    if line.info:
        return _show(line)
    if is_main() and sys.stderr.isatty():  # seconds pass before a run's first line
        print("preflab: checking the command and its data", file=sys.stderr)
    with seldom_searched():
        from preflab.jobs.places import check_not_running
        from preflab.planning.reading import check_jobs

        if is_main():  # the others have no run folder
            check_not_running(line)
        jobs = check_jobs(line)
    from preflab.jobs.execution import execute, quiet_libraries

    quiet_libraries()
    if not is_main():  # process 0 alone has a run folder
        execute(jobs[0], Path())
        return 0
    where, text = carry_out(line, jobs)
    folder = where.folder
    print(text)
    rows = read_ledger(folder) if line.multirun else []
    _raise_for([row for row in rows if folder / str(row["folder"]) in where.jobs], folder)
    if line.search is not None:
        from preflab.jobs.searching import check_found

        check_found(folder)
    return 0


def carry_out(line: CommandLine, jobs: Sequence[Job]) -> tuple[Places, str]:
    """Run the checked jobs of a command and write its report; where, and the report as text."""
    from preflab.jobs.adding_seeds import add_seeds
    from preflab.jobs.job import start
    from preflab.jobs.searching import go_on_searching
    from preflab.planning.claims import check_claims

    for said in (*line.said, *check_claims(line, jobs)):
        print(f"preflab: {said}", file=sys.stderr)
    where = start(line, jobs)
    if line.search is not None:
        where = go_on_searching(line, where)
    else:
        where = add_seeds(line, jobs[0].run.study, where, jobs[0].run.settings.fast)
    try:
        text = report_text([where.folder], where.folder / REPORT)
    except PreflabError as error:
        print(f"preflab: no report: {error}", file=sys.stderr)
        text = ""
    return where, text


def report_text(folders: Sequence[Path], out: Path) -> str:
    """The comparison of run folders as text, from the first plugin that makes reports; the page is
    written to ``out``."""
    return registry().report(folders, out) or "No installed plugin makes reports."


def _raise_for(rows: Sequence[LedgerLine], folder: Path) -> None:
    """`SweepError` if a job of a multirun failed, `Waiting` if none did and one waits."""
    waits = [row for row in rows if row["exit_code"] == Waiting.exit_code]
    failed = [row for row in rows if row["exit_code"] and row not in waits]
    lines = "\n".join(
        f"  job {row['job']} ({' '.join(row['overrides'])}): {row['error']}" for row in waits
    )
    waiting = f"{len(waits)} job(s) wait; the same command goes on with them:\n{lines}"
    if failed:
        lines = "\n".join(_failure(folder, row) for row in failed)
        raise SweepError(
            f"{len(failed)} job(s) failed; give the same command again to run only them:\n{lines}"
            + (f"\n{waiting}" if waits else "")
        )
    if waits:
        raise Waiting(waiting)


def _failure(folder: Path, row: LedgerLine) -> str:
    overrides, log = " ".join(row["overrides"]), f" ({folder / row['log']})" if row["log"] else ""
    return f"  job {row['job']} ({overrides}): exit code {row['exit_code']}: {row['error']}{log}"


def _show(line: CommandLine) -> int:
    """What ``--cfg``, ``--info``, ``--hydra-help`` and completion ask for: Hydra's own answer,
    but for ``--cfg job``, which costs no second composition."""
    skip_last_collection()
    if any(word.startswith("query=") for word in sys.argv):
        return _complete()
    shell = next((w.partition("=")[2] for w in sys.argv if w.startswith("install=")), "")
    if line.info and shell in SCRIPTS:
        print(SCRIPTS[shell])
        return 0
    with seldom_searched():
        config = compose(line.jobs[0], line.config_name, True, line.config_dir)
    refuse_code_in_config(config)
    if line.shows_job:
        print(job_yaml(config), end="")
        return 0
    import hydra

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `cli.main`, which words them
    hydra.main(config_path=str(config_root()), config_name="config", version_base="1.3")(_nothing)()
    return 0


def _complete() -> int:
    """Answer the tab key. Whatever goes wrong, nothing but answers is written into the prompt."""
    import hydra

    written, line = io.StringIO(), os.environ.get("COMP_LINE", "")
    answers: list[str] = []
    with (
        contextlib.redirect_stdout(written),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(Exception, SystemExit),
    ):
        registry()  # Hydra knows the plugins' options then
        answers = own_answers(line)
        rest = None if answers else hydras(line)
        if rest is not None:
            os.environ["COMP_LINE"] = rest
            os.environ["HYDRA_FULL_ERROR"] = "1"
            place = str(config_root())
            hydra.main(config_path=place, config_name="config", version_base="1.3")(_nothing)()
            answers = written.getvalue().split()
    print(" ".join(answers))
    return 0


def _nothing(config: object) -> None:
    """The task of a command line that only shows something: Hydra never calls it."""
