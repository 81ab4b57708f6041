"""Where pretrained weights are and what they contain, found without torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from preflab import Inspection, UserError
from preflab.storage.durable import cached_digest
from preflab_builtin.causal_lm.config import PretrainedConfig

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""Files of a model folder that decide a result: weights, configs, tokenizer, chat template."""
IGNORED = frozenset({"preflab.json", "generation_config.json"})


def inspect_pretrained(config: PretrainedConfig) -> Inspection:
    """Digests of the weights and the tokenizer; `UserError` if there is no such model folder."""
    folder = locate(config.path, config.revision)
    content = content_digest(folder)
    if "date_string" not in config.template_arguments and writes_the_date(folder):
        content += f" on {date.today()}"
    return Inspection(content=content, tokenizer=tokenizer_digest(folder), pretrained=True)


def locate(path: str, revision: str | None, key: str = "policy.path") -> Path:
    """The local folder of a model: the path itself, or the snapshot of a hub id (downloaded at its
    first use). key: the config's key, for messages."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        check_folder(folder)
        return folder
    parts = path.split("/")
    if len(parts) > 2 or path.startswith((".", "~", "/")) or not all(parts):
        raise UserError(
            f"{key}: there is no folder {folder} (relative to {Path.cwd()}). {_neighbours(folder)}"
        )
    return _snapshot(path, revision, key)


def check_folder(folder: Path) -> None:
    """Refuse a folder without a model, naming what is missing."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} has no config.json: it is not a transformers model folder. "
            f"{_neighbours(folder / 'x')}"
        )
    check_model_config(folder)
    for index in sorted(folder.glob("*.index.json")):
        check_index(index)
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} has no *.safetensors. Pickled weights are not read: convert them with "
            "save_pretrained."
        )


def check_model_config(folder: Path) -> None:
    """`UserError` for a config.json that names code: transformers would fetch an attention kernel
    from the hub and run it."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: config.json cannot be read: {error}") from None
    for key, value in _code_names(config):
        file = folder / "config.json"
        raise UserError(f"{file}: {key} is {value!r}, which names code. Remove the key.")


def _code_names(node: Any) -> Iterator[tuple[str, Any]]:
    """Keys that choose an implementation, with a value that is not a plain word."""
    for key, value in node.items() if isinstance(node, dict) else ():
        chooses = "implementation" in key or "kernel" in key
        if chooses and isinstance(value, str) and not re.fullmatch(r"\w*", value):
            yield key, value
        else:
            yield from _code_names(value)


def check_index(index: Path) -> None:
    """`UserError` for an index of shards that names a file outside its folder: no digest would
    cover that file."""
    try:
        shards = json.loads(index.read_text(encoding="utf8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is not an index of weights: {error}") from None
    for shard in shards:
        inside = isinstance(shard, str) and shard == Path(shard).name
        if not inside or not shard.endswith(".safetensors"):
            raise UserError(
                f"{index} names {shard!r}, which is not a *.safetensors file in the same folder."
            )


def content_digest(folder: Path) -> str:
    """sha256 over names and bytes of the files that decide a result, and the ids that end a
    response."""
    names = sorted({p.name for pattern in PATTERNS for p in folder.glob(pattern)} - IGNORED)
    lines = [f"{name} {cached_digest(folder / name)}" for name in names]
    lines.append(f"ends {generation_ends(folder)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def generation_ends(folder: Path) -> list[int]:
    """The ids at which transformers' ``generate`` ends: those of generation_config.json, or of
    config.json if there is no such file."""
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        if file.is_file():
            given = json.loads(file.read_text(encoding="utf8")).get("eos_token_id")
            if given is None and name == "config.json":
                return []
            return [given] if isinstance(given, int) else list(given or ())
    return []


def writes_the_date(folder: Path) -> bool:
    """Whether the chat template writes the current date into prompts, as Llama 3's do: runs of
    different days read different tokens."""
    files = [*folder.glob("*.jinja"), folder / "tokenizer_config.json"]
    return any("strftime_now" in f.read_text(encoding="utf8") for f in files if f.is_file())


def tokenizer_digest(folder: Path) -> str:
    """sha256 of tokenizer.json; "" if there is none."""
    file = folder / "tokenizer.json"
    return cached_digest(file) if file.is_file() else ""


def _snapshot(repository: str, revision: str | None, key: str) -> Path:
    try:
        from huggingface_hub import snapshot_download

        snapshot = snapshot_download(repository, revision=revision, allow_patterns=list(PATTERNS))
    except Exception as error:  # the hub's client raises a dozen unrelated classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{key}={repository} is neither a folder in {Path.cwd()} nor a model that could be "
            f"downloaded from the hub (revision {revision or 'main'}): {reason}"
        ) from error
    check_folder(Path(snapshot))
    return Path(snapshot)


def _neighbours(folder: Path) -> str:
    """A sentence that names model folders nearby."""
    models = sorted(str(config.parent) for config in folder.parent.glob("*/config.json"))
    if not models:
        return "Give a folder with config.json, or a hub id such as org/name."
    return f"Model folders next to it: {', '.join(models[:5])}."
