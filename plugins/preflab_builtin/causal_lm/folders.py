"""Where pretrained weights are and what they contain, found without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from preflab import UserError
from preflab.rows.paths import address_of
from preflab.storage.durable import cached_digest
from preflab.storage.run_folder import newest_model
from preflab_builtin.causal_lm.checking import (
    Use,
    check_folder,
    gguf_advice,
    neighbours,
    read_json,
)

PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
"""Files of a model folder that decide a result: weights, configs, tokenizer, chat template."""
IGNORED = frozenset({"preflab.json", "generation_config.json"})


def locate(
    path: str,
    revision: str | None,
    key: str = "policy.path",
    use: Use = Use.policy,
    whole: bool = True,
) -> Path:
    """The local folder of a model: the path itself, the newest policy of a run folder, or the
    snapshot of a hub id (downloaded at its first use). key: the config's key, for messages; whole:
    a folder must have weights. `UserError` if it does not hold what it is used for."""
    folder = Path(path).expanduser()
    folder = newest_model(folder) or folder
    if folder.is_dir():
        check_folder(folder, use, whole)
        return folder
    if folder.is_file():
        advice = f"Name the folder that holds it: {key}={folder.parent}."
        is_gguf = folder.suffix == ".gguf"
        raise UserError(f"{key}={path} is a file. {gguf_advice(folder) if is_gguf else advice}")
    parts = path.split("/")
    if address_of(path):
        on_hub = parts[2:3] == ["huggingface.co"] and len(parts) > 4
        cure = f"{key}={parts[3]}/{parts[4]}" if on_hub else f"Download it: {key}=FOLDER"
        raise UserError(f"{key}={path} is an address, neither a folder nor a hub id. {cure}")
    if len(parts) > 2 or path.startswith((".", "~", "/")) or not all(parts):
        raise UserError(
            f"{key}: there is no folder {folder} (relative to {Path.cwd()}). {neighbours(folder)}"
        )
    snapshot = _snapshot(path, revision, key)
    check_folder(snapshot, use)
    return snapshot


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
            given = read_json(file).get("eos_token_id")
            if given is None and name == "config.json":
                return []
            return [given] if isinstance(given, int) else list(given or ())
    return []


def writes_the_date(folder: Path) -> bool:
    """Whether the chat template writes the current date into prompts, as Llama 3's do: runs of
    different days read different tokens."""
    files = [*folder.glob("*.jinja"), folder / "tokenizer_config.json"]
    return any(b"strftime_now" in file.read_bytes() for file in files if file.is_file())


def positions_in(folder: Path) -> int | None:
    """Tokens that a row of the folder's model may have at most, without its weights; None: its
    config names no limit."""
    config = read_json(folder / "config.json")
    limit = config.get("max_position_embeddings", config.get("n_positions"))
    return limit if isinstance(limit, int) else None


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
    return Path(snapshot)
