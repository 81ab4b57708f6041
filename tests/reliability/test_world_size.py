"""Several processes: resumed with another number of them, and nan on one of them alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from end_to_end.runs import digests, preflab
from end_to_end.test_processes import HALVES

POISON = """
import os

from preflab import hookimpl


@hookimpl
def preflab_components():
    from preflab_builtin.sft import training

    plain = training.SupervisedFineTuning._nll

    def nll(self, rows):
        bad = os.environ.get("RANK") == "1" and self.tokens > 0
        return plain(self, rows) * (float("nan") if bad else 1.0)

    training.SupervisedFineTuning._nll = nll
    return []
"""


@pytest.mark.reliability
@pytest.mark.parametrize("first,then", [(2, 1), (1, 2)])
def test_a_run_resumes_with_another_number_of_processes(
    first: int, then: int, tmp_path: Path
) -> None:
    """The order of rows is global, so the result is that of one undisturbed process."""
    (tmp_path / "one").mkdir()
    assert preflab(tmp_path / "one", *HALVES) == 0
    cut = tmp_path / "cut"
    cut.mkdir()
    with (cut / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "preflab", *HALVES, f"runtime.processes={first}"]
        running = subprocess.Popen(command, cwd=cut, stdout=log, stderr=log)
        while running.poll() is None and not list(
            cut.glob("artifacts/sft-*.partial/.state/step-*")
        ):
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 128 + signal.SIGTERM, (cut / "log.txt").read_text()[-3000:]
    assert preflab(cut, *HALVES, f"runtime.processes={then}") == 0, (cut / "log.txt").read_text()[
        -3000:
    ]
    found, expected = (
        {k: v for k, v in digests(f).items() if "metrics" not in k} for f in (cut, tmp_path / "one")
    )
    assert found == expected


@pytest.mark.reliability
def test_nan_on_one_process_stops_all_before_the_step(tmp_path: Path) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    words = ("--plugin", str(tmp_path / "poison.py"), *HALVES, "runtime.processes=2")
    assert preflab(tmp_path, *words) == 5, (tmp_path / "log.txt").read_text()[-3000:]
    log = (tmp_path / "log.txt").read_text()
    assert "sft, step 1: loss/sft nan is not finite. No weight was changed." in log
    assert log.count("The batch of this step is kept") == 1  # one process keeps it
    (batch,) = tmp_path.glob("artifacts/sft-*.partial/.state/failed/step-000000001/state.json")
    assert str(batch.relative_to(tmp_path)) in log
