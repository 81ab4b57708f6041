"""Configs may come from third parties: what is refused in their files and names before Hydra
composes anything, and in the composed config before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from preflab.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

MOST_NODES = 100_000
"""Values that a YAML file may stand for once its aliases are written out: eleven lines can mean
10^10 of them."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})*")
_SECRET = re.compile(
    r"(^|[_-])((api|access|private|secret)[_-]?key|secrets?|passwd|password|passphrase|credentials?"
    r"|(api|auth|access|bearer|hf|session)[_-]?token)$|^token$",
    re.IGNORECASE,
)
_LOGGING_CLASSES = {"logging.StreamHandler", "logging.FileHandler"}
_RESOLVER = re.compile(r"\$\{[^}]*:")
_ENVIRONMENT = re.compile(r"PREFLAB_|PYTHON|LD_|HYDRA_|PATH$")


def check_name(name: str) -> None:
    """`UserError` for an invalid config name: it becomes the name of a folder in runs/."""
    if not _NAME.fullmatch(name) or name.endswith(".") or len(name) > 200:
        raise UserError(
            f"{name!r} is not a valid config name: letters, digits, '-', '_' and '.' with '/' "
            "between folders, none of which begins with a dot; no way out of the folder of configs "
            "(name another folder with --config-dir)."
        )


def check_files(folder: Path) -> None:
    """Read every .yaml file below the folder of --config-dir (hidden ones excepted) without
    building anything from it; `UserError` with ``file:line: YAML: reason`` for the first that is
    broken, asks for Python objects, or would not fit into memory."""
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder.")
    for path in sorted(folder.rglob("*.yaml")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # no group's name begins with a dot: another program's files
        try:
            _check_file(path)
        except RecursionError:
            raise UserError(f"{path}: YAML: is nested too deeply.") from None


def _check_file(path: Path) -> None:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}:{line}: YAML: byte 0x{data[error.start]:02x} is not valid UTF-8."
        ) from None
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(
            f"{path}:{mark.line + 1 if mark else 1}: YAML: {error.problem or error.context}."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: YAML: {str(error).splitlines()[0]}.") from None
    if len(documents) > 1:
        raise UserError(
            f"{path}:{documents[1].start_mark.line + 1}: YAML: holds more than one document "
            "('---')."
        )
    for root in documents:
        if not isinstance(root, yaml.MappingNode):
            raise UserError(
                f"{path}:{root.start_mark.line + 1}: YAML: must hold 'key: value' lines."
            )
        for node, reason in _problems(root, set()):
            raise UserError(f"{path}:{node.start_mark.line + 1}: YAML: {reason}.")
        if _written_out(root, {}) > MOST_NODES:
            raise UserError(f"{path}: YAML: its aliases stand for more than {MOST_NODES:,} values.")


def _problems(node: yaml.Node, seen: set[int]) -> Iterator[tuple[yaml.Node, str]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        yield (
            node,
            f"the tag {node.tag.removeprefix('tag:yaml.org,2002:')!r} asks for an object, and "
            "configs hold plain values",
        )
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key, "a key must be a word"
            elif key.value in keys:
                yield key, f"{key.value}: is given twice"
            else:
                keys.add(key.value)
            yield from _problems(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _problems(value, seen)


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values that a node amounts to; without end for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1  # while it is being counted: met again, it holds itself
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_written_out(value, known) for value in inner)
    return known[id(node)]


def refuse_secrets(node: Mapping[str, Any], above: str = "") -> None:
    """`UserError` for a key that is named like a secret and holds one: configs are written into
    run folders and reports."""
    for key, value in node.items():
        here = f"{above}{key}"
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{here}.")
        elif isinstance(value, str) and value and _SECRET.search(str(key)):
            raise UserError(
                f"{here} holds a secret in the clear, and the config is written into the run's "
                "folder. Let the plugin read it from the environment, and give the name of the "
                "variable (a key that ends in _env)."
            )


def refuse_environment(variables: Mapping[str, Any]) -> None:
    """`UserError` for a variable in hydra.job.env_set that decides which code is loaded."""
    for name in variables:
        if _ENVIRONMENT.match(str(name)):
            raise UserError(
                f"hydra.job.env_set.{name} decides which code runs: set it in the shell, not in a "
                "config."
            )


def refuse_code_in_config(config: DictConfig) -> None:
    """Refuse what Hydra itself would execute from a config: ``_target_`` under hydra.callbacks,
    ``()`` and ``class`` in its logging configs. Launchers and sweepers are chosen by group name
    and keep their own target. Outside of Hydra's own part resolvers are refused too:
    ``${oc.env:TOKEN}`` would write a secret into the files of the run."""
    refuse_environment(config.hydra.job.get("env_set") or {})
    suspicious = list(_targets(config.hydra.callbacks, "hydra.callbacks"))
    for part in ("job_logging", "hydra_logging"):
        suspicious += _targets(config.hydra[part], f"hydra.{part}")
    suspicious += _targets({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"}, "")
    if suspicious:
        raise UserError(
            f"The config would run code: {', '.join(suspicious)}. preflab configs name components "
            "and never Python objects; bring code in with an installed plugin or --plugin FILE."
        )
    refuse_resolvers(config)


def refuse_resolvers(config: DictConfig) -> None:
    """Refuse values, outside of Hydra's own part, that would call a resolver."""
    calling = list(
        _resolvers({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"}, "")
    )
    if calling:
        raise UserError(
            f"The config calls a resolver: {', '.join(calling)}. Values may refer to other keys, "
            f"as ${{seed}} does, but never to the environment or to functions: write the value "
            "itself."
        )


def _targets(node: Any, path: str) -> Iterator[str]:
    from omegaconf import OmegaConf

    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}".lstrip(".")
            harmless = key == "class" and (
                value in _LOGGING_CLASSES or not path.startswith("hydra.")
            )
            if key in ("_target_", "()") or (key == "class" and not harmless):
                yield here
            else:
                yield from _targets(value, here)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _targets(value, f"{path}.{i}")


def _resolvers(node: Any, path: str) -> Iterator[str]:
    """Keys whose text holds ``${name:``, at whatever depth; a reference to a key has no colon."""
    from omegaconf import OmegaConf

    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _resolvers(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _resolvers(value, f"{path}.{i}")
    elif isinstance(node, str) and _RESOLVER.search(node):
        yield path
