"""Keys of clients, of which a file holds the digests."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from preflab.errors import UserError

KEY_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


def digest(key: str) -> str:
    """What is kept of a key. Keys are random and long, so that nobody finds one by its digest."""
    return hashlib.sha256(key.encode("utf8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> dict[str, str]:
    """Names of keys by their digests. `UserError` for a file that holds none, or that other people
    of this machine may write to."""
    keys = _listed(path)
    if not keys:
        raise UserError(f"{path} holds no key: preflab serve --keys {path} --new-key NAME")
    return keys


def _listed(path: Path) -> dict[str, str]:
    """The same, {} for a file without keys."""
    try:
        lines, mode = path.read_text(encoding="ascii").splitlines(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The keys in {path} cannot be read: {error}. Make one: preflab serve --keys {path} "
            "--new-key NAME"
        ) from None
    keys: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if re.fullmatch(rf"{KEY_NAME} [0-9a-f]{{64}}", line) is None:
            raise UserError(f"{path}:{number} is no key: a line has a name and a sha256.")
        name, value = line.split()
        keys[value] = name
    if mode & 0o022:
        raise UserError(f"Others may write to {path}: chmod 600 {path}")
    return keys


def new_key(path: Path, name: str) -> str:
    """A new key, whose digest is put into the file. `UserError` for a name that is taken."""
    if re.fullmatch(KEY_NAME, name) is None:
        raise UserError(f"{name!r} is no name of a key: letters, digits, and . _ - within.")
    if path.exists() and name in _listed(path).values():
        raise UserError(f"{path} has a key '{name}'. Choose another name, or remove its line.")
    key = f"preflab-{secrets.token_urlsafe(32)}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            before = path.read_bytes()  # a line that an editor left open would swallow the new key
            end = "\n" if before and not before.endswith(b"\n") else ""
            file.write(f"{end}{name} {digest(key)}\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    return key
