"""Digests of files that a process remembers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from preflab.storage import durable


def test_cached_digest_reads_a_file_again_only_if_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"first")
    assert durable.cached_digest(file) == hashlib.sha256(b"first").hexdigest()
    status = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had been written
    assert durable.cached_digest(file) == hashlib.sha256(b"first").hexdigest()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert durable.cached_digest(file) == hashlib.sha256(b"other").hexdigest()
    file.write_bytes(b"longer than before")
    assert durable.cached_digest(file) == hashlib.sha256(b"longer than before").hexdigest()
