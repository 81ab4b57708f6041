"""Files that Git LFS has not fetched: a few lines of text in the place of the data."""

from __future__ import annotations

from preflab.errors import UserError

POINTER = b"version https://git-lfs"
"""What such a file begins with (git-lfs.com, specification of the pointer)."""


def check_fetched(where: str, head: bytes) -> None:
    """`UserError` if a file is a pointer of Git LFS. where: the file, for the message; head: its
    first bytes, at least as many as `POINTER` has."""
    if head.startswith(POINTER):
        raise UserError(
            f"{where}: is a pointer of Git LFS, not the data. Fetch it with: git lfs pull (in its "
            "repository), or download it again."
        )
