"""Break the arithmetic in one place at a time and see a test fail: ``make mutants``.

Each mutant is made in a copy of the tree, never in the checkout. It is killed if one of the tests
in its row fails. The script ends with 1 if a mutant survives, or if its text is not in the code
exactly once (tests/test_mutants.py checks this too). How the code is laid out does not matter, its
words do. Words on the command line choose mutants by name.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from mutations import Mutant, algorithms, models

ROOT = Path(__file__).parents[1]
COPIED = ("framework", "plugins", "conf", "sweeps", "tests", "pyproject.toml", "README.md")
MUTANTS = (*algorithms.MUTANTS, *models.MUTANTS)


def pattern(text: str) -> re.Pattern[str]:
    """What matches a text of code in any layout: broken lines, a comma before a closing bracket."""
    tokens, parts = re.findall(r"\w+|[^\w\s]", text), []
    for before, token in zip(["", *tokens], tokens, strict=False):
        between = r"\s*,?\s*" if token in ")]}" and before != "," else r"\s*"
        parts.append(f"{between if before else ''}{re.escape(token)}")
    start, end = r"^(?P<indent>[ ]*)" if text[0] == " " else "", r"\n" if text[-1] == "\n" else ""
    first, last = (r"\b" if t[0].isalnum() or t[0] == "_" else "" for t in (tokens[0], tokens[-1]))
    return re.compile(start + first + "".join(parts) + last + end, re.MULTILINE)


def mutated(mutant: Mutant, text: str) -> str:
    """The text of a file with the mistake in it."""
    (match,) = pattern(mutant.old).finditer(text)
    new = mutant.new
    if "indent" in match.groupdict():
        deeper = len(match["indent"]) - (len(mutant.old) - len(mutant.old.lstrip(" ")))
        lines = new.splitlines(keepends=True)
        new = "".join(" " * deeper + line if deeper > 0 else line[-deeper:] for line in lines)
    return text[: match.start()] + new + text[match.end() :]


def stale(mutant: Mutant, tree: Path) -> str | None:
    """What is out of date in a mutant: its text, or a test that does not exist."""
    text = (tree / mutant.file).read_text(encoding="utf8")
    places = len(pattern(mutant.old).findall(text))
    if places != 1:
        return f"{mutant.name}: its text is in {mutant.file} {places} times, not once"
    if (changed := mutated(mutant, text)) == text:
        return f"{mutant.name}: it changes nothing"
    try:
        ast.parse(changed)
    except SyntaxError as error:
        return f"{mutant.name}: {mutant.file} is no longer Python: {error}"
    missing = [test for test in mutant.tests.split() if not (tree / test.split("::")[0]).exists()]
    return f"{mutant.name}: there is no {missing[0]}" if missing else None


def own_tree(folder: str) -> None:
    """Copy what the tests need into a folder of this process, which from now on works there."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)
    os.chdir(tree)


def first_failure(tests: str) -> str | None:
    """The first test that fails in this process's tree, None if all pass.

    The long forms of `make reliability` and `make test-serve` are left out.
    """
    with tempfile.TemporaryFile("w+", encoding="utf8") as output:
        code = _pytest(tests.split(), output.fileno())
        output.seek(0)
        failed = [line for line in output if line.startswith(("FAILED", "ERROR"))]
    if code == 0:
        return None
    return (
        failed[0].split(" - ")[0].removeprefix("FAILED ").strip()
        if failed
        else f"pytest ended with {code}"
    )


def _pytest(tests: list[str], output: int) -> int:
    """The exit code of pytest in a forked child, which takes the code from its tree."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.path[:0] = [str(Path.cwd() / name) for name in ("framework", "plugins", "tests")]
            # The time stamps of bytecode are too coarse for mutants of the same length.
            sys.dont_write_bytecode = True
            environment = {
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path[:3]),
            }
            os.environ.update(environment)
            long = "not reliability and not serve"
            words = ["-x", "-q", "-p", "no:cacheprovider", "-m", long]
            # The libraries are imported before pytest, which then cannot rewrite their assertions.
            words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            code = int(pytest.main([*words, *tests]))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killer(mutant: Mutant) -> str | None:
    """The first test that fails with the mutant, None if none does. The tree is restored."""
    path = Path.cwd() / mutant.file
    text = path.read_text(encoding="utf8")
    path.write_text(mutated(mutant, text), encoding="utf8")
    try:
        return first_failure(mutant.tests)
    finally:
        path.write_text(text, encoding="utf8")


def _processes(folder: str) -> ProcessPoolExecutor:
    """One per processor, four at most, each with a tree of its own; libraries are imported."""
    count = min(4, len(os.sched_getaffinity(0)))
    return ProcessPoolExecutor(
        count, multiprocessing.get_context("fork"), initializer=own_tree, initargs=(folder,)
    )


def main(mutants: Sequence[Mutant] = MUTANTS) -> int:
    """Try all of them, or those whose names hold a word of the command line; the exit code."""
    chosen = [
        m for m in mutants if len(sys.argv) < 2 or any(word in m.name for word in sys.argv[1:])
    ]
    problems = [problem for m in chosen if (problem := stale(m, ROOT))]
    if problems:
        print("\n".join(problems))
        return 1
    survivors = 0
    for library in ("torch", "transformers", "scipy.stats"):  # once for all mutants
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as folder, _processes(folder) as pool:
        tests = sorted({test for m in chosen for test in m.tests.split()})
        for failure in pool.map(first_failure, tests):
            if failure:
                print(f"without any mutant {failure} fails already: fix that first")
                return 1
        for mutant, test in zip(chosen, pool.map(killer, chosen), strict=True):
            survivors += test is None
            outcome = "SURVIVED" if test is None else "killed  "
            print(f"{outcome}  {mutant.name:42}  {test or ''}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
