"""One job: several processes that all end with 0 before the run is complete are no success."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import PreflabError
from preflab.composing.compose import compose
from preflab.jobs import job, processes
from preflab.planning.reading import job_of


def test_exit_code_0_of_processes_that_have_not_finished_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "start", lambda processes, command: 0)
    two = job_of(compose(["runtime.processes=2"], with_hydra=True))
    with pytest.raises(PreflabError, match="exit code 0 before it had finished"):
        job._in_processes(two, tmp_path)
    (tmp_path / "manifest.json").write_text('{"status": "complete"}')
    job._in_processes(two, tmp_path)
