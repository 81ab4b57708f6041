"""``preflab new-plugin``: a complete pip package, written from the files in templates/.

A template's name ends in .template, so that no tool takes it for code of ours. Substituted are, in names and texts:
``{{distribution}}`` (as given), ``{{package}}`` (its module, plugin and component name) and ``{{Class}}``.
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
"""Words that ``GROUP=WORD`` would not take for a component's name."""


def kinds() -> list[str]:
    """Kinds that there is a template of."""
    return sorted(p.name for p in TEMPLATES.iterdir() if p.is_dir() and p.name != SHARED)


def names(name: str) -> dict[str, str]:
    """What is substituted for a distribution's name; `UserError` for one that is no name, or taken.

    >>> names("My-Plugin")
    {'distribution': 'My-Plugin', 'package': 'my_plugin', 'Class': 'MyPlugin'}
    """
    package = re.sub(r"[-_.]+", "_", name).lower()
    problem = ""
    if len(name) > 60 or not _DISTRIBUTION.fullmatch(name):
        problem = "is no distribution name: letters and digits, with '-', '_' and '.' between them, 60 at most"
    elif not package.isidentifier() or keyword.iskeyword(package) or keyword.issoftkeyword(package):
        problem = f"cannot be imported as '{package}': a Python module begins with a letter and is no keyword"
    elif package in sys.stdlib_module_names or package in _VALUES | {"test", "tests", "conf"}:
        problem = f"would be imported as '{package}', which means something else already"
    elif importlib.util.find_spec(package) is not None and not (Path.cwd() / package).is_dir():
        problem = f"would be imported as '{package}', which is installed already: choose another, or uninstall that one"
    if problem:
        raise UserError(f"The plugin name {name!r} {problem}.")
    return {
        "distribution": name,
        "package": package,
        "Class": "".join(part.capitalize() for part in package.split("_")),
    }


def write(name: str, kind: str, parent: Path) -> list[Path]:
    """Write the package into a new folder ``parent / name``; its files. `UserError` if the folder exists, the kind has no
    template, or the name cannot be used."""
    if kind not in kinds():
        raise UserError(f"There is no template for the kind '{kind}'. {nearest(kind, kinds())}")
    words = names(name)
    if words["package"] in _taken(kind):
        raise UserError(
            f"The name '{words['package']}' is taken, by a {kind} or by a plugin: choose another one."
        )
    folder = parent / name
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except FileExistsError:
        raise UserError(
            f"{folder} exists already, and nothing is overwritten: choose another name or folder."
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


def _taken(kind: str) -> set[str]:
    """Names that a new component of the kind, its preset and its plugin cannot have."""
    from preflab.composing.search_path import options, registry

    loaded = registry()
    presets = options(kind) if kind in registry().stage_graph.groups else []
    names_of_kind = loaded.names("evaluator" if kind == "evaluation" else kind)
    return {*presets, *names_of_kind, *(plugin.name for plugin in loaded.plugins)}


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    return text
