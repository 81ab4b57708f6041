"""The wheel and a clean environment with it, made once for all tests of this folder.

test_wheel.py uses the environment as it is; test_with_third_party.py, which pytest runs later,
installs more into it. The libraries are not installed again: the environment sees links to those
that the wheel requires, directly or not, and to no others. So a requirement that the wheel does not
declare is missing there, and pip checks the versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
Words = Sequence[str | Path]
Command = tuple[Path, dict[str, str], Words, int]
SEVERAL = """
import accelerate, json, os, sys, transformers
from preflab.console import cli

for number, (folder, variables, words) in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if not child:
        os.chdir(folder)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.environ.update(variables)
        cli.main(words)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each command in a forked child of one process, which has imported the libraries for all."""


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
def several(binaries: Path) -> Callable[[Sequence[Command]], list[str]]:
    """several([(folder, environment, words, expected), ...]): what each ``preflab WORDS`` says, one
    after another, in the clean environment.

    It fails on another exit code, once all have ended.
    """

    def said(commands: Sequence[Command]) -> list[str]:
        asked = json.dumps([(str(f), e, [*map(str, words)]) for f, e, words, _ in commands])
        forking: Words = [binaries / "python", "-P", "-c", SEVERAL, asked]
        codes = _call(forking, ROOT.parent, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1").split()
        for number, (folder, _, words, expected) in enumerate(commands):
            error = (folder / f"{number}.err").read_text()[-3000:]
            assert codes[number] == str(expected), f"{words}: {codes[number]}\n{error}"
        return [(command[0] / f"{n}.out").read_text() for n, command in enumerate(commands)]

    return said


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


def _requirements(wheel: Path) -> Iterable[Distribution]:
    """The distributions that a wheel requires without its extras, and what those require."""
    names = zipfile.ZipFile(wheel).namelist()
    (folder,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    ours = PathDistribution(zipfile.Path(wheel, f"{folder}/"))
    asked = [Requirement(r) for r in ours.requires or ()]
    found: dict[str, Distribution] = {}
    while asked:
        requirement = asked.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = distribution(name)
            asked += [Requirement(r) for r in found[name].requires or ()]
    return found.values()


def _linked(distributions: Iterable[Distribution], folder: Path) -> Path:
    """A folder with links to what the distributions have installed."""
    folder.mkdir()
    for installed in distributions:
        for name in {file.parts[0] for file in installed.files or () if file.parts[0] != ".."}:
            link = folder / name
            if not link.is_symlink() and name != "__pycache__":
                link.symlink_to(Path(str(installed.locate_file(name))))
    return folder


@pytest.fixture(scope="session")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment with the wheel in it. pip is a link, too."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    shared = _linked([*_requirements(wheel), distribution("pip")], folder / "shared")
    (site / "shared.pth").write_text(f"{shared}\n")
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    # Offline: everything that the wheel requires is there already.
    _call([*pip, "--no-index", "-c", ROOT / "constraints.txt", wheel], folder)
    return folder / "bin"
