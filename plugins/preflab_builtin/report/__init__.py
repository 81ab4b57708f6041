"""Compares runs: a table in the terminal, and one page that opens anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from preflab import hookimpl


@hookimpl
def preflab_report(folders: Sequence[Path], out: Path) -> str:
    """Read the run folders, write the page if the disk lets it, return the table."""
    from preflab_builtin.report.build import build_report
    from preflab_builtin.report.terminal import report_text

    return report_text(build_report(list(folders), out), out)


@hookimpl
def preflab_verdicts(folders: Sequence[Path]) -> Mapping[str, str]:
    """Decide the claims of a study by these runs of it."""
    from preflab_builtin.report.build import verdicts

    return verdicts(list(folders))
