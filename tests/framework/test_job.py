"""One job: several processes that all end with 0 before the run is complete are no success."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import PreflabError
from preflab.jobs import job
from preflab.jobs import processes as ranks


def test_exit_code_0_of_processes_that_have_not_finished_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "start", lambda processes, command: 0)
    config = OmegaConf.create({"runtime": {"processes": 2}})
    with pytest.raises(PreflabError, match="exit code 0 before it had finished"):
        job._in_processes(config, tmp_path, [], "config")
    (tmp_path / "manifest.json").write_text('{"status": "complete"}')
    job._in_processes(config, tmp_path, [], "config")
