"""Errors of Hydra and OmegaConf in words that a user of preflab knows: the key or word that is
wrong, what is allowed, the nearest, and the cure."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflab.composing.search_path import groups_of_a_run, registry, sweeps_root
from preflab.door.registry import OWN_COMMANDS
from preflab.errors import UserError, nearest
from preflab.kinds import LISTS
from preflab.options import plain_words
from preflab.study import ClaimConfig, SearchConfig, SeedsConfig, StudyConfig

HAS_ITS_OWN = (
    "preflab searches by itself, with Optuna's samplers: -m "
    "'study.search={objective: gold/gold, trials: 24}' 'KEY=interval(LOW,HIGH)' "
    "(sweeps/README.md)."
)
"""For those who know Hydra's sweepers."""
MOST_KEYS = 4
"""Keys elsewhere in the config that a message offers."""
NOT_OFFERED = {"arm", "fast", "hydra"}
"""Keys at the top of a config that nobody sets by themselves."""


@contextlib.contextmanager
def readable_errors(config_dir: str = "") -> Iterator[None]:
    """Within it Hydra's and OmegaConf's errors become `UserError`. config_dir: where studies are
    too."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error, config_dir)) from None
    except RecursionError:
        raise UserError(
            "The config leads back to itself: look for a file that its own defaults list names."
        ) from None


def explain(error: BaseException, config_dir: str = "") -> str:
    """A Hydra or OmegaConf error in one sentence or two."""
    chain = _chain(error)
    for item in chain:
        if isinstance(item, MissingConfigException):
            return _missing(item, config_dir)
        if isinstance(item, OverrideParseException):
            return _unreadable(item.override)
    for item in chain:
        parent, key = getattr(item, "parent_node", None), getattr(item, "key", None)
        if parent is not None and key is not None and re.search("not in", str(item)):
            full_key = str(getattr(item, "full_key", key) or key)
            given = re.search(rf"use \+{re.escape(full_key)}(=\S+)", str(chain[0]))
            return _unknown(parent, full_key, str(key), given[1] if given else "")
    text = " ".join(line.strip() for line in str(chain[0]).splitlines() if line.strip())
    causes = [str(c).splitlines()[0] for c in chain[1:] if isinstance(c, OmegaConfBaseException)]
    cause = causes[0] if causes else ""
    return _in_words(text if cause in text else f"{text}: {cause}")


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _missing(error: MissingConfigException, config_dir: str) -> str:
    """A config, or an option of a config group, that is not there."""
    group, _, name = str(error.missing_cfg_file or "").rpartition("/")
    if error.options is not None:
        allowed = nearest(name, [str(option) for option in error.options])
        if group == "hydra/sweeper":
            return f"There is no {group} '{name}' here. {HAS_ITS_OWN}"
        named = " To name a run: name=NAME." if group == "arm" else ""
        install = registry().to_install(registry().stage_graph.groups.get(group, group), name)
        said = f"There is no {group or 'config'} '{name}'. {allowed}{named}{install}"
        return f"{said}{registry().not_loaded()}"
    folders = [sweeps_root(), *([Path(config_dir)] if config_dir else [])]
    studies = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    return f"There is no study or config '{error.missing_cfg_file}'. {nearest(name, studies)}"


def _unreadable(word: str) -> str:
    """A word of the command line that is no override."""
    key, equals, value = word.partition("=")
    if word in OWN_COMMANDS or word in registry().commands():
        return f"{word} is a command, which stands first: preflab {word} ..."
    if not equals:
        return f"'{word}' is not an override: KEY=VALUE, +KEY=VALUE or ~KEY."
    above, dot, name = key.lstrip("+").rpartition(".")
    if dot and not key.startswith("~") and _read(f"{key}=1") is None:
        cure = f"+{above}={{{name}: {value}}}"
        held = _read(cure)
        reads_so = isinstance(held, dict) and [*map(str, held)] == [name]
        how = f"give '{cure}'" if reads_so else "rename it, or give it in a config file"
        return f"'{name}' in '{word}' cannot be written behind a dot: {how}."
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"'{word}' cannot be read: a value that holds = , ( ) [ ] {{ }} or a quote is put into "
        f"quotes, for the shell and for Hydra: '{key}=\"{quoted}\"'"
    )


def _read(word: str) -> Any:
    """The value in a word of the command line; None if Hydra cannot read the word."""
    try:
        return OverridesParser.create().parse_override(word).value()
    except HydraException:
        return None


def _to_add(full_key: str, given: str) -> str:
    """The word that adds a key; a name that cannot stand behind a dot is put into braces. given:
    "=VALUE"."""
    above, _, name = full_key.rpartition(".")
    if _read(f"+{full_key}=1") is not None:
        return f"+{full_key}{given}"
    return f"'+{above}={{{name}: {given.removeprefix('=')}}}'"


def _unknown(parent: Any, full_key: str, key: str, given: str = "") -> str:
    """A key that is not there, with where it, or one like it, is. given: "=VALUE", if a word of the
    command line asked for it."""
    keys = [str(k) for k in parent if k != key] if OmegaConf.is_dict(parent) else []
    if full_key in registry().stage_graph.groups:
        return (
            f"{full_key} is not chosen: give {full_key}=NAME first, for example {full_key}=files."
        )
    if full_key.startswith("hydra.sweeper."):
        return f"{full_key} is not an option. {HAS_ITS_OWN}"
    if _left_out_of_a_study(full_key):
        value = "={at_most:24}" if full_key == "study.seeds" else "=VALUE"
        return f"The study file leaves {full_key} out: '+{full_key}{given or value}' adds it."
    above = full_key.removesuffix(key)
    if not above:
        keys = sorted({*keys, *groups_of_a_run()} - NOT_OFFERED)
    elsewhere = _alike(key, keys, [k for k in _keys(parent) if k != key])
    meant = [above + inner for inner in elsewhere[:MOST_KEYS]]
    if not meant and not difflib.get_close_matches(key, keys, n=1, cutoff=0.5):
        meant = [f"{other}{given}" for other in _in_other_groups(parent, full_key)]
    if meant:
        listed = ", ".join(sorted(keys))
        question = f"Did you mean {' or '.join(meant)}?"
        return f"{full_key} is not an option. Allowed: {listed}. {question}"
    adding = _adding(parent, full_key)
    if not adding and above and (not keys or _takes_any(parent, full_key)):
        return f"{full_key} is not there yet. To add it: {_to_add(full_key, given or '=VALUE')}"
    return f"{full_key} is not an option. {nearest(key, keys)}{adding}"


def _takes_any(parent: Any, full_key: str) -> bool:
    """Whether a key is in a field of a component that takes values by any name."""
    (group, *fields, _), groups = full_key.split("."), registry().stage_graph.groups
    if group not in groups or len(fields) != 1:
        return False
    name = parent._get_root()[group].name
    config_class = registry().component(groups[group], name).config_class
    return get_origin(get_type_hints(config_class).get(fields[0])) is dict


def _left_out_of_a_study(full_key: str) -> bool:
    """Whether a key is an option that a study may declare: a study file names only some."""
    return any(
        re.fullmatch(pattern, full_key)
        and full_key.rpartition(".")[2] in {field.name for field in dataclasses.fields(options)}
        for pattern, options in _OF_A_STUDY.items()
    )


_OF_A_STUDY: dict[str, type[Any]] = {
    r"study\.\w+": StudyConfig,
    r"study\.seeds\.\w+": SeedsConfig,
    r"study\.search\.\w+": SearchConfig,
    r"study\.claims\.\w+\.\w+": ClaimConfig,
}


def refuse_added(words: Sequence[str], config: Any) -> None:
    """`UserError` for an option that a word adds (``+comparisons.k=6``) and that the component does
    not have: OmegaConf would take it, and nobody would know where it belongs."""
    groups = registry().stage_graph.groups
    for word in words:
        added = re.fullmatch(r"\+([a-z_]+)\.([a-z_]+)(=.*)", word)
        if added is None or added[1] not in groups or not OmegaConf.is_dict(config[added[1]]):
            continue
        group, key, given = added.groups()
        try:
            component = registry().component(groups[group], str(config[group].get("name")))
        except UserError:  # who reads the config says what is wrong
            continue
        options = {field.name for field in dataclasses.fields(component.config_class)}
        if key not in options | {*component.nested}:
            raise UserError(_unknown(config[group], f"{group}.{key}", key, given))


def _adding(parent: Any, full_key: str) -> str:
    """How to add a component at a place that holds components by any name; "" elsewhere."""
    root, place = parent._get_root(), full_key.split(".")
    if place[0] in LISTS and len(place) == 2:
        kind = LISTS[place[0]]
    elif len(place) > 2 and place[0] in registry().stage_graph.groups:
        group, *field, _ = place
        chosen = registry().component(registry().stage_graph.groups[group], root[group].name)
        kind = chosen.nested.get(".".join(field), "")
    else:
        kind = ""
    option = place[-1] if place[-1] in registry().names(kind) else "OPTION"
    return f" To add one: +{kind}@{full_key}={option}." if kind else ""


def _in_other_groups(parent: Any, full_key: str) -> list[str]:
    """The same key in other config groups (``samples.k`` for ``comparisons.k``), those that the
    group's stage uses first, unless it is in many of them."""
    group, _, rest = full_key.partition(".")
    graph, root = registry().stage_graph, parent._get_root()
    if group not in graph.groups or not OmegaConf.is_dict(root):
        return []
    used = [g for spec in graph if spec.group == group for g in graph.used(spec.name)]
    others = [other for other in graph.groups if other in root and other != group]
    others.sort(key=lambda other: other not in used)
    found = [f"{other}.{rest}" for other in others if rest in _keys(root._get_node(other))]
    return found if len(found) <= MOST_KEYS else []


def _alike(key: str, here: Sequence[str], below: Sequence[str]) -> list[str]:
    """Keys further below that end as it does (``lr``, ``kl_coef`` for ``kl.coef``), or one that is
    nearly the same, unless a key here is nearer."""
    if difflib.get_close_matches(key, here, n=1, cutoff=0.8):
        return []
    deeper = [k for k in below if "." in k]
    ends = [k for k in deeper if f".{k}".replace(".", "_").endswith(f"_{key}")]
    if ends:
        return sorted(ends, key=lambda k: (k.count("."), k))
    by_end = {k.rpartition(".")[2]: k for k in reversed(deeper)}
    return [by_end[c] for c in difflib.get_close_matches(key, by_end, n=1, cutoff=0.8)]


def _keys(node: Any, above: str = "") -> Iterator[str]:
    """Every dotted key below a node, Hydra's own excepted."""
    if not OmegaConf.is_dict(node):
        return
    for key in node:
        if above or key != "hydra":
            yield f"{above}{key}"
            inner = None if OmegaConf.is_missing(node, key) else node._get_node(key)
            yield from _keys(inner, f"{above}{key}.")


def _of_groups(text: str) -> str:
    """Hydra's sentence on the choice of a config group in ours; "" for another one."""
    if missing := re.match(r"Could not override '(.*?)'\. No match in the defaults list", text):
        return (
            f"{missing[1]} is not chosen by itself in this config, but inside another component: "
            f"+{missing[1].partition('@')[0]}@FIELD.NAME=OPTION (preflab --help shows where)."
        )
    if taken := re.search(r"Config group override must be a string or a list\. Got (\w+)", text):
        if taken[1] == "NoneType":
            return "A config group cannot be null: GROUP=none leaves it out."
        return "A config group takes the name of an option: GROUP=OPTION (preflab --help)."
    if chosen := re.match(r"Multiple values for (\S+?)\. .* 'override \S+ (\S+)'", text):
        return (
            f"{chosen[1]} is chosen by the config already: another one is chosen without the plus, "
            f"{chosen[1]}={chosen[2]}."
        )
    if other := re.match(
        r"In '(?:schema/)?(\w+)/(\w+)': .*Merge error: \w+ is not a subclass of (\w+)", text
    ):
        kind, name = other[1], other[2]
        return (
            f"{kind}={name}: the place that it is given holds another component already (with the "
            f"config class {other[3]}), and cannot hold both. Give it a name of its own "
            f"(+{kind}@FIELD.OTHER={name}); or, if the config chooses the other one by its group, "
            f"leave out the plus: {kind}@FIELD.NAME={name}."
        )
    if forced := re.search(r"force-add of config groups is not supported: '\+\+(.*)'", text):
        word = forced[1]
        return f"++{word}: an option of a group is chosen by {word}, and added by +{word}."
    if unknown := re.match(
        r"Override (\S+) looks like .* config group '(.*)' does not exist", text
    ):
        known = {*groups_of_a_run(), *(c.kind for c, _ in registry().components())}
        return (
            f"{unknown[1]}: there is no config group '{unknown[2]}'. {nearest(unknown[2], known)}"
        )
    return ""


def _in_words(text: str) -> str:
    """Hydra's sentence with the cure for a command line of preflab."""
    if several := re.match(r"Ambiguous value for argument '(.*?)' 1\.", text):
        word = several[1]
        key, _, value = word.partition("=")
        return (
            f"{word}: several values. Add -m to run each of them; a list is {key}=[{value}], and "
            f"a text with commas is '{key}=\"{value}\"'."
        )
    if sweep := re.match(r"Sweep parameters '(.*)' requires --multirun", text):
        return f"{sweep[1]}: several values. Add -m to run each of them."
    if text.startswith("Could not override 'arm'"):
        return "arm: arms belong to studies (preflab -cn STUDY). To name a run: name=NAME."
    if of_groups := _of_groups(text):
        return of_groups
    in_file = re.match(
        r"In '.*?': \w+ raised while composing config: (.*) full_key: (?!object_type)(\S+)", text
    )
    if in_file:
        text = f"{in_file[2]}: {in_file[1]}"
    text = re.sub(
        r"^Error merging override (\S+?)=(.*?): .* is not a ListConfig.*",
        r"\1 is '\2' but must be a list: \1=[\2]",
        text,
    )
    return plain_words(
        re.sub(r"^Error merging override (\S+?)=.*?: (Value|Invalid)", r"\1: \2", text)
    )
