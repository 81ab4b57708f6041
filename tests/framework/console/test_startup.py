"""How threads wait, by what else runs on the machine; what the environment already says stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preflab.console import startup

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(("running", "spins"), [("1/90", "20000"), ("3/90", "0")])
def test_threads_spin_only_on_an_idle_machine(
    running: str, spins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in WAITING:
        monkeypatch.setenv(name, "to be put back")  # so that what is set here is taken away again
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "read_text", lambda self, **options: f"0.1 0.1 0.1 {running} 4242\n")
    startup.calm_threads()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("PASSIVE", spins)


def test_a_choice_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAITING:
        monkeypatch.setenv(name, "mine")
    startup.calm_threads()
    assert [os.environ[name] for name in WAITING] == ["mine", "mine"]
