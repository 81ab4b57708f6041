"""The wheel and a clean environment with it, made once for all tests of this folder.

test_wheel.py uses the environment as it is; test_with_third_party.py, which pytest runs later,
installs more into it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Words = Sequence[str | Path]


def _call(words: Words, folder: Path, expected: int = 0, **environment: str) -> str:
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PREFLAB", "PYTEST"))
    }
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        capture_output=True,
        text=True,
        env={**clean, **environment},
        check=False,
    )
    assert done.returncode == expected, (
        f"{words}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


@pytest.fixture(scope="session")
def call() -> Callable[..., str]:
    """call(words, folder, expected=0, **environment): the output of a command.

    It fails on another exit code.
    """
    return _call


@pytest.fixture(scope="session")
def backend() -> Words:
    """A command that builds a distribution; its further words are a build hook and a folder."""
    return [
        sys.executable,
        "-c",
        "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))",
    ]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, backend: Words) -> Path:
    """The wheel, built from the sdist, as an index would get it."""
    folder = tmp_path_factory.mktemp("dist")
    sdist = folder / _call([*backend, "build_sdist", folder], ROOT).strip().splitlines()[-1]
    _call(["tar", "xzf", sdist, "-C", folder], folder)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return folder / _call([*backend, "build_wheel", folder], unpacked).strip().splitlines()[-1]


@pytest.fixture(scope="session")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    _call([*pip, "torch==2.13.0"], folder)
    _call([*pip, "-c", ROOT / "constraints.txt", wheel], folder)
    return folder / "bin"
