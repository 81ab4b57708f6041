"""What torch.compile lacks on a machine is said with the cure."""

from __future__ import annotations

import importlib.util
import shutil
import sysconfig
from pathlib import Path

import pytest

from preflab import UserError
from preflab.compilers import check_compilers


@pytest.fixture(autouse=True)
def _everything_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nothing_is_said_where_everything_is_there(device: str) -> None:
    check_compilers(device)


@pytest.mark.parametrize(
    ("device", "variable", "usual", "said"),
    [
        ("cpu", "CXX", "g++", r"a compiler of C\+\+, and there is no g\+\+ here"),
        ("cuda", "CC", "clang", r"a compiler of C, and there is no gcc and no clang here"),
    ],
)
def test_a_compiler_is_needed(
    device: str, variable: str, usual: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the usual ones, or the one that is named and no other."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=f"{said}.*by the variable {variable}, or leave runtime"):
        check_compilers(device)
    monkeypatch.setattr(shutil, "which", lambda name: name if name == usual else None)
    check_compilers(device)
    monkeypatch.setenv(variable, "/opt/cxx")
    with pytest.raises(UserError, match="there is no /opt/cxx here"):
        check_compilers(device)


def test_a_gpu_needs_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_compilers("cpu")
    with pytest.raises(UserError, match=r"needs the package triton.*pip install triton, or leave"):
        check_compilers("cuda")


def test_the_headers_of_python_are_needed(tmp_path: Path) -> None:
    (tmp_path / "Python.h").unlink()
    with pytest.raises(UserError, match=r"there is no .*Python\.h\. Install .*python3-dev"):
        check_compilers("cpu")
