"""What the import of a plugin file brought in; that it counts: planning/test_code.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import preflab
from preflab.door.brought import brought_by, is_own
from preflab.door.discovery import import_file


def test_only_source_that_somebody_edits_is_own(tmp_path: Path) -> None:
    assert is_own(tmp_path / "a.py")
    assert not is_own(tmp_path / "a.so")
    assert not is_own(tmp_path / "site-packages" / "a.py")
    assert not is_own(Path(json.__file__))
    assert not is_own(Path(preflab.__file__).resolve())


def test_what_an_import_adds_and_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second file adds no module: it holds a function of one that is there. A module of a
    package is not held because another file imported it."""
    (tmp_path / "brought_pack").mkdir()
    (tmp_path / "brought_pack" / "__init__.py").write_text("")
    (tmp_path / "brought_pack" / "words.py").write_text("def f(): ...\n")
    sources = {
        "first": "import brought_pack.words\n",
        "second": "import sys\nTABLE = {'f': sys.modules['brought_pack.words'].f}\n",
        "third": "import sys\np = sys.modules['brought_pack']\n",
    }
    plugins = [tmp_path / "in" / f"{name}_brought.py" for name in sources]
    (tmp_path / "in").mkdir()
    for plugin, text in zip(plugins, sources.values(), strict=True):
        plugin.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for plugin in plugins:
        monkeypatch.delitem(sys.modules, import_file(plugin).__name__)
    pack = tmp_path.resolve() / "brought_pack"
    first, second, third = (brought_by(plugin) for plugin in plugins)
    assert first.files == {pack / "__init__.py", pack / "words.py"}
    assert second.files == {pack / "words.py"}
    assert third.files == {pack / "__init__.py"}
    assert first.named["brought_pack.words"] == pack / "words.py"
    assert not brought_by(tmp_path / "never.py").files
