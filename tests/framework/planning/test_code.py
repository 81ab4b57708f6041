"""What counts as code in a recipe: what is computed does, what people read does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import preflab
from preflab.components import Component
from preflab.door.plugin_files import beside
from preflab.kinds import NoneConfig
from preflab.planning.code import framework_digest, read_source, source_digest

FRAMEWORK = Path(preflab.__file__).parent
SOURCE = '''"""About it."""
import warnings
from preflab import option


class Config:
    rate: float = option(0.1, "how fast", ge=0)


def half(x: float) -> float:
    """Half of it."""
    if x < 0:
        raise ValueError(f"{x} is negative")
    warnings.warn("careful")
    print("halving", x)
    return x / 2  # by two
'''
WORDS = {
    "a docstring": ("Half of it.", "One half."),
    "a module's docstring": ("About it.", "On halves."),
    "an error message": ("is negative", "must be at least 0"),
    "a warning": ("careful", "with care"),
    "a printed line": ("halving", "taking half of"),
    "a comment": ("# by two", "# in two"),
    "the help of an option": ("how fast", "its speed"),
    "layout": ("x / 2", "(x / 2)"),
}
CODE = {
    "a formula": ("x / 2", "x / 3"),
    "a condition": ("x < 0", "x <= 0"),
    "a default": ("option(0.1", "option(0.2"),
    "a bound": ("ge=0", "ge=1"),
    "what a message shows": ("{x} is", "{-x} is"),
}


def _digest(folder: Path, text: str) -> str:
    path = folder / "module.py"
    path.write_text(text)
    return read_source(path).meaning


@pytest.mark.parametrize("change", WORDS)
def test_what_people_read_does_not_count(change: str, tmp_path: Path) -> None:
    before, after = WORDS[change]
    assert SOURCE.count(before) == 1
    assert _digest(tmp_path, SOURCE) == _digest(tmp_path, SOURCE.replace(before, after))


@pytest.mark.parametrize("change", CODE)
def test_what_is_computed_counts(change: str, tmp_path: Path) -> None:
    before, after = CODE[change]
    assert SOURCE.count(before) == 1
    assert _digest(tmp_path, SOURCE) != _digest(tmp_path, SOURCE.replace(before, after))


DIFFERENT = {
    "a method called error": ("self.error('a', x)", "self.error('b', x)"),
    "a method called info": ("x = table.info('reward')", "x = table.info('length')"),
    "a call within a log line": ("logger.info(draw('first'))", "logger.info(draw('second'))"),
    "text printed into a file": ("print('Q:', q, file=page)", "print('Human:', q, file=page)"),
    "another function called option": ("x = pick.option(1, 'a')", "x = pick.option(1, 'b')"),
    "a function called option, not ours": ("x = option(1, 'a')", "x = option(1, 'b')"),
    "a raised error from a table": ("raise ERRORS['skip']", "raise ERRORS['stop']"),
    "which error is raised": ("raise A() if m == 'x' else B()", "raise A() if m == 'y' else B()"),
    "the value of an iterator": ("raise StopIteration('a')", "raise StopIteration('b')"),
    "a dict taken apart": ("x = {**a}", "x = {None: a}"),
    "an argument without a default": ("def f(*, a): ...", "def f(*, a=None): ..."),
    "a field without a default": ("class C:\n x: int", "class C:\n x: int = None"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_different_programs_have_different_digests(what: str, tmp_path: Path) -> None:
    first, second = DIFFERENT[what]
    assert _digest(tmp_path, first) != _digest(tmp_path, second)


def test_the_code_at_a_place_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point is a module, and its component is built by another one."""
    package = tmp_path / "placed_apart"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    component = Component("algorithm", "mine", NoneConfig, procedure="placed_apart.impl:Mine")
    modules = ["placed_apart.plugin", *component.modules()]
    digests = set()
    for text in ("class Mine:\n    rate = 1\n", "class Mine:\n    rate = 2\n"):
        (package / "impl.py").write_text(text)
        source_digest.__globals__["_source_digest"].cache_clear()
        digests.add(source_digest(modules, ["placed_apart"]))
    assert len(digests) == 2


def _digest_of_plugin(modules: list[str], packages: tuple[str, ...] = ()) -> str:
    for cached in ("_source_digest", "_is_own"):
        source_digest.__globals__[cached].cache_clear()
    beside.cache_clear()
    return source_digest(modules, packages)


BESIDE = {
    "a module": ("from near import f\n", "near.py"),
    "a module of a module": ("import via_near\n", "near.py"),
    "a package": ("import parts\n", "parts/__init__.py"),
    "the package of a module": ("from parts.words import f\n", "parts/__init__.py"),
    "a module of a package": ("from parts import words\n", "parts/words.py"),
    "a module with dots": ("import parts.words\n", "parts/words.py"),
    "a relative one": ("from .near import f\n", "near.py"),
    "one within a function": ("def g():\n    from near import f\n", "near.py"),
    "one by its name": ("import importlib\nimportlib.import_module('near')\n", "near.py"),
}


@pytest.mark.parametrize("what", BESIDE)
@pytest.mark.parametrize("on_path", [False, True])
def test_what_a_plugin_file_imports_from_beside_it_counts(
    what: str, on_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without the folder in PYTHONPATH."""
    text, edited = BESIDE[what]
    (tmp_path / "parts").mkdir()
    files = {"mine.py": text, "via_near.py": "from near import f\n", "near.py": SOURCE}
    files |= {"parts/__init__.py": SOURCE, "parts/words.py": SOURCE, "apart.py": SOURCE}
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    if on_path:
        monkeypatch.syspath_prepend(str(tmp_path))
    before = _digest_of_plugin([str(tmp_path / "mine.py")])
    (tmp_path / "apart.py").write_text("x = 1\n")
    assert _digest_of_plugin([str(tmp_path / "mine.py")]) == before  # nobody imports it
    (tmp_path / edited).write_text(SOURCE.replace("x / 2", "x / 3"))
    assert _digest_of_plugin([str(tmp_path / "mine.py")]) != before


@pytest.mark.parametrize("place", ["work", "lib/site-packages"])
def test_what_a_plugin_imports_counts_unless_it_is_an_installed_package(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable install is a folder on the path. The version of an installed package is noted
    with each artifact instead."""
    folder = tmp_path / place
    (folder / "lab_tools").mkdir(parents=True)
    (folder / "lab_tools" / "__init__.py").write_text("from .inner import rate\n")
    (folder / "lab_tools" / "inner.py").write_text("rate = 1\n")
    (folder / "lab_plugin.py").write_text("import lab_tools\n")
    monkeypatch.syspath_prepend(str(folder))
    before = _digest_of_plugin(["lab_plugin"], ("lab_plugin",))
    (folder / "lab_tools" / "inner.py").write_text("rate = 2\n")
    assert (_digest_of_plugin(["lab_plugin"], ("lab_plugin",)) != before) is (place == "work")


PATH = "import sys\nfrom importlib import import_module\nsys.path.insert(0, {})\n"
ABOVE = PATH.format("__file__.rpartition('/')[0] + '/..'")
BY_PLACE = """import importlib.util
def load(name):
    place = __file__.rpartition("/")[0] + "/" + name
    spec = importlib.util.spec_from_file_location("elsewhere", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.f
"""
BROUGHT = {
    "a module above": (ABOVE + "from lab_shared.rates import v\n", "lab_shared/rates.py"),
    "one above, from '..'": (
        PATH.format("'..'") + "from lab_shared.rates import v\nsys.path.pop(0)\n",
        "lab_shared/rates.py",
    ),
    "a module of one above": (ABOVE + "import lab_shared.rates\n", "lab_shared/inner.py"),
    "a name in a variable": (
        ABOVE + "NAME = 'lab_shared.rates'\nv = import_module(NAME).v\n",
        "lab_shared/rates.py",
    ),
    "a computed name": (
        ABOVE + "v = import_module('lab_shared.' + 'rates').v\n",
        "lab_shared/rates.py",
    ),
    "a place": (BY_PLACE + "v = load('hidden.py')(4)\n", "plugins/hidden.py"),
    "a computed place": (BY_PLACE + "g = load('hid' + 'den.py')\n", "plugins/hidden.py"),
    "a place, in a table": (BY_PLACE + "G = [load('hid' + 'den.py')]\n", "plugins/hidden.py"),
}


def _write(folder: Path, plugin: str) -> Path:
    files = {
        "plugins/mine.py": plugin,
        "plugins/hidden.py": SOURCE.replace("half(x: float)", "f(x: float)"),
        "lab_shared/rates.py": "from lab_shared.inner import w\nv = 1\n",
        "lab_shared/inner.py": "w = 1\n",
        "lab_shared/apart.py": "x = 1\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder / "plugins" / "mine.py"


def _imported_anew(plugin: Path, *first: str) -> str:
    """The digest of a plugin file in a process that imports it. first: files imported before it."""
    code = (
        "import sys; from pathlib import Path; from preflab.door.discovery import import_file; "
        "from preflab.planning.code import source_digest; "
        "[import_file(Path(p)) for p in sys.argv[1:]]; print(source_digest(sys.argv[-1:], []))"
    )
    words = [sys.executable, "-c", code, *first, str(plugin)]
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        words, cwd=plugin.parent, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("what", BROUGHT)
def test_what_a_plugin_file_brings_in_otherwise_counts(what: str, tmp_path: Path) -> None:
    """However another file imports the same before it, and however often."""
    text, edited = BROUGHT[what]
    plugin = _write(tmp_path, text)
    other = tmp_path / "plugins" / "other.py"
    other.write_text(ABOVE + "import lab_shared.rates, lab_shared.apart\n")
    before = _imported_anew(plugin)
    if "computed name" not in what:
        assert _imported_anew(plugin, str(other)) == before
    assert _imported_anew(plugin, str(plugin)) == before
    (tmp_path / "lab_shared" / "apart.py").write_text("x = 2\n")
    assert _imported_anew(plugin) == before
    path = tmp_path / edited
    path.write_text(path.read_text().replace("= 1", "= 2").replace("x / 2", "x / 3"))
    assert _imported_anew(plugin) != before


DATA = {
    "a name": "words = open('words.txt').read()\n",
    "beside the file": "w = (Path(__file__).parent / 'words.txt').read_text()\n",
    "in a folder": "w = (Path(__file__).parent / 'lists' / 'words.txt').read_text()\n",
    "joined": "w = open(os.path.join(os.path.dirname(__file__), 'lists', 'words.txt'))\n",
    "in a function": "def f():\n    return HERE.joinpath('lists').joinpath('words.txt')\n",
    "by a module beside it": "import near\n",
}


@pytest.mark.parametrize("what", DATA)
def test_a_file_of_data_that_the_source_names_counts(what: str, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "mine.py").write_text(DATA[what])
    (tmp_path / "near.py").write_text(DATA["a name"])
    for name in ("words.txt", "lists/words.txt", "other.txt"):
        (tmp_path / name).write_text("good")
    modules = [str(tmp_path / "mine.py")]
    before = _digest_of_plugin(modules)
    (tmp_path / "other.txt").write_text("bad")
    assert _digest_of_plugin(modules) == before  # nothing names it
    folder = "" if what in ("a name", "beside the file", "by a module beside it") else "lists/"
    (tmp_path / f"{folder}words.txt").write_text("better")
    assert _digest_of_plugin(modules) != before


def test_source_that_this_python_cannot_read_counts_as_it_stands(tmp_path: Path) -> None:
    assert _digest(tmp_path, "print 'a'\n") != _digest(tmp_path, "print 'b'\n")


def test_docstrings_count_where_they_are_read(tmp_path: Path) -> None:
    source = SOURCE + "\n\nWORDS = len(half.__doc__)\n"
    assert _digest(tmp_path, source) != _digest(tmp_path, source.replace("Half of", "A half of"))


def test_text_that_is_a_value_counts(tmp_path: Path) -> None:
    assert _digest(tmp_path, 'MARK = "a"\n') != _digest(tmp_path, 'MARK = "b"\n')


@pytest.mark.parametrize(
    "file,before,after,changes",
    [
        ("optimization.py", "lower the learning rate", "use a smaller learning rate", False),
        ("functional.py", "Entropy in nats of", "The entropy, in nats, of", False),
        ("console/plan.py", "without sharing", "if nothing were shared", False),
        ("planning/checks.py", "there are no", "there is no", False),
        ("functional.py", "gamma * lam * running", "gamma * running", True),
        ("engine/loop.py", "step += 1", "step += 2", True),
    ],
)
def test_an_edit_of_the_framework(
    file: str, before: str, after: str, changes: bool, tmp_path: Path
) -> None:
    copy = tmp_path / "preflab"
    shutil.copytree(FRAMEWORK, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / file
    source = path.read_text(encoding="utf8")
    assert before in source
    path.write_text(source.replace(before, after, 1), encoding="utf8")
    assert (framework_digest(copy) != framework_digest(FRAMEWORK)) is changes
