"""``preflab new-plugin``: a complete pip package, written from the files in templates/.

The name of a template ends in .template, so that no tool takes it for source code. In names and
texts ``{{distribution}}`` (as given), ``{{package}}`` (name of module, plugin and component),
``{{Class}}`` and ``{{kind}}`` are substituted.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from preflab.errors import UserError, nearest

TEMPLATES = Path(__file__).parent / "templates"
SHARED = "shared"
SUFFIX = ".template"
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")
"""A distribution name (PEP 508)."""
_VALUES = {"null", "true", "false", "nan", "inf", "none"}
"""Words that ``GROUP=WORD`` would not read as the name of a component."""


def kinds() -> list[str]:
    """Kinds that have a template."""
    return sorted(p.name for p in TEMPLATES.iterdir() if p.is_dir() and p.name != SHARED)


def names(name: str) -> dict[str, str]:
    """The substitutions for a distribution's name; `UserError` if it is not a valid name, or taken.

    >>> names("My-Plugin")
    {'distribution': 'My-Plugin', 'package': 'my_plugin', 'Class': 'MyPlugin'}
    """
    package = re.sub(r"[-_.]+", "_", name).lower()
    problem = ""
    if len(name) > 60 or not _DISTRIBUTION.fullmatch(name):
        problem = (
            "is not a distribution name: use letters and digits, with '-', '_' and '.' between "
            "them, at most 60 characters"
        )
    elif not package.isidentifier() or keyword.iskeyword(package) or keyword.issoftkeyword(package):
        problem = (
            f"cannot be imported as '{package}': the name of a Python module begins with a letter "
            "and is not a keyword"
        )
    elif package in sys.stdlib_module_names or package in _VALUES | {"test", "tests", "conf"}:
        problem = f"would be imported as '{package}', a name that has another meaning already"
    elif importlib.util.find_spec(package) is not None and not (Path.cwd() / package).is_dir():
        problem = (
            f"would be imported as '{package}', which is installed already: choose another name, "
            "or uninstall that package"
        )
    if problem:
        raise UserError(f"The plugin name {name!r} {problem}.")
    return {
        "distribution": name,
        "package": package,
        "Class": "".join(part.capitalize() for part in package.split("_")),
    }


def write(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the package into a new folder ``parent / name`` and return its files.

    `UserError` if the folder exists, the kind has no template, or the name cannot be used.
    """
    if kind not in kinds():
        raise UserError(f"There is no template for the kind '{kind}'. {nearest(kind, kinds())}")
    words = names(name)
    _refuse_taken(kind, words)
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except FileExistsError:
        raise UserError(
            f"{folder} exists already, and no file is overwritten: choose another name or folder."
        ) from None
    written = []
    for root in (TEMPLATES / SHARED, TEMPLATES / kind):
        for template in sorted(p for p in root.rglob(f"*{SUFFIX}") if p.is_file()):
            path = folder / _filled(str(template.relative_to(root)).removesuffix(SUFFIX), words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                _filled(template.read_text(encoding="utf8"), {**words, "kind": kind}),
                encoding="utf8",
            )
            written.append(path)
    return sorted(written)


def _refuse_taken(kind: str, words: dict[str, str]) -> None:
    """`UserError` if a component of the kind, a plugin or a preset has the new one's name."""
    from preflab.composing.search_path import options, registry

    package = words["package"]
    loaded = registry()
    taken = package in {*loaded.names(kind), *(plugin.name for plugin in loaded.plugins)}
    for preset in (TEMPLATES / kind).glob(f"src/*/conf/*/*{SUFFIX}"):
        option = _filled(preset.name.removesuffix(f".yaml{SUFFIX}"), words)
        taken = taken or option in options(preset.parent.name)
    if taken:
        raise UserError(f"The name '{package}' is taken, by a {kind} or a plugin: choose another.")


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    return text
