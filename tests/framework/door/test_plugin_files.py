"""Plugins in single files: what they import from beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from preflab.door import checking, plugin_files
from preflab.door.discovery import import_file


def _made(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _imported(file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plugin file's module, forgotten when the test ends."""
    plugin_files.beside.cache_clear()
    before = set(sys.modules)
    module: ModuleType = import_file(file)
    for name in set(sys.modules) - before:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    return module


def test_a_module_beside_the_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules, packages, names in them, and modules that these import in turn."""
    folder = _made(
        tmp_path,
        {
            "kinds.py": "from counting import words\nfrom parts import one, two as second\n"
            "import parts.three\nimport parts.three as third\n"
            "VALUES = words('a b'), one.VALUE, second.VALUE, parts.three.VALUE, third.VALUE\n",
            "counting.py": "from more import SCALE\ndef words(t): return SCALE * len(t.split())\n",
            "more.py": "SCALE = 10\n",
            "parts/__init__.py": "",
            "parts/one.py": "from .two import VALUE\n",
            "parts/two.py": "VALUE = 2\n",
            "parts/three.py": "from parts.two import VALUE as TWO\nVALUE = TWO + 1\n",
        },
    )
    assert _imported(folder / "kinds.py", monkeypatch).VALUES == (20, 2, 2, 3, 3)
    assert not {"counting", "more", "parts"} & set(sys.modules)  # nobody else gets them


def test_two_files_with_equally_named_modules_beside_them_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the import is within a function, and the functions are called in turn."""
    text = "from shared_words import WORD\ndef later():\n    import lazy_words\n    return {}\n"
    modules = []
    for name in ("first", "second"):
        folder = _made(
            tmp_path / name,
            {
                f"{name}_plugin.py": text.format("WORD + lazy_words.WORD"),
                "shared_words.py": f"WORD = 'shared {name}, '\n",
                "lazy_words.py": f"WORD = 'lazy {name}'\n",
            },
        )
        modules.append(_imported(folder / f"{name}_plugin.py", monkeypatch))
    said = [module.later() for module in [*modules, *modules]]
    assert said == ["shared first, lazy first", "shared second, lazy second"] * 2


def test_what_is_beside_the_file_comes_first_as_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """colorsys is a module of the standard library, math is built in (tried with `python FILE`),
    and a folder without __init__.py stands back behind a library of the same name."""
    folder = _made(
        tmp_path,
        {
            "order.py": "import colorsys, sys, yaml\n"
            "FOUND = colorsys.OURS, hasattr(sys, 'OURS'), hasattr(yaml, 'safe_load')\n",
            "colorsys.py": "OURS = True\n",
            "sys.py": "OURS = True\n",
            "yaml/settings.txt": "",
        },
    )
    assert _imported(folder / "order.py", monkeypatch).FOUND == (True, False, True)
    import colorsys

    assert hasattr(colorsys, "rgb_to_hsv")


def test_an_edit_of_the_same_second_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's cache knows a source by its second and its size."""
    folder = _made(tmp_path, {"edited.py": "from scale import N\n", "scale.py": "N = 1\n"})
    values = []
    for text in ("N = 1\n", "N = 2\n"):
        (folder / "scale.py").write_text(text)
        os.utime(folder / "scale.py", (1e9, 1e9))
        for name in [name for name in sys.modules if ".edited" in name]:
            del sys.modules[name]
        values.append(_imported(folder / "edited.py", monkeypatch).N)
    assert values == [1, 2]
    assert not (folder / "__pycache__").exists()


def test_a_reward_of_a_module_beside_the_file_is_a_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _made(
        tmp_path,
        {
            "collected.py": "from polite_words import polite\n",
            "polite_words.py": "import preflab\n@preflab.reward\n"
            "def polite(prompt: str, response: str) -> float:\n    return 0.0\n",
        },
    )
    found = checking.attached(_imported(folder / "collected.py", monkeypatch))
    assert [component.name for component in found] == ["polite"]


def test_a_worker_finds_what_is_beside_the_file(tmp_path: Path) -> None:
    """A process that has imported nothing yet and is given an object of a plugin file."""
    folder = _made(tmp_path, {"mine.py": "from near import N\n", "near.py": "N = 7\n"})
    read = "from preflab.door.plugin_files.mine import N; print(N)"
    environment = {**os.environ, plugin_files.VARIABLE: str(folder / "mine.py")}
    worker = subprocess.run(
        [sys.executable, "-c", read], env=environment, capture_output=True, text=True
    )
    assert (worker.stdout, worker.stderr) == ("7\n", "")
