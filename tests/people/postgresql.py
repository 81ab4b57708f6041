"""A PostgreSQL cluster of the tests' own: in a temporary folder, under a user without rights,
reached by a socket in that folder alone."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

USER = "label"
ROOM = 2 * 10**9
"""Bytes of memory free for a cluster and the databases of all tests."""
NONE_INSTALLED = "no PostgreSQL is installed here"


def programs() -> Path | None:
    """The folder with the newest initdb and postgres."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    found = shutil.which("initdb") if not debian else str(debian[-1])
    return None if found is None else Path(found).resolve().parent


def _version(initdb: Path) -> int:
    name = initdb.parents[1].name
    return int(name) if name.isdigit() else 0


def _user() -> dict[str, Any]:
    """Whom the cluster belongs to: initdb refuses root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _fast() -> str | None:
    """A folder in memory, where there is room: every database is 300 files to make and remove."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return str(memory)
    return None


@dataclass
class Cluster:
    """A running cluster. Every call of `database` makes an empty one."""

    folder: Path
    made: int = field(default=0)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        self.made += 1
        name = f"round_{os.getpid()}_{self.made}"
        engine = create_engine(self.url("postgres"), poolclass=NullPool)
        with engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(f"CREATE DATABASE {name}"))
        return self.url(name)


@contextlib.contextmanager
def running(bin_folder: Path) -> Iterator[Cluster]:
    """A cluster that ends, and is removed, with the block."""
    # The path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_fast()))
    owner = _user()
    if owner:
        os.chown(folder, owner["user"], owner["group"])
    as_owner: dict[str, Any] = {**owner, "cwd": folder, "stdout": subprocess.DEVNULL}
    made: list[str | Path] = [
        bin_folder / "initdb",
        "-D",
        folder / "data",
        "-U",
        USER,
        "-A",
        "trust",
        "-N",
    ]
    made += ["-E", "UTF8", "--locale=C"]
    subprocess.run(made, check=True, **as_owner)
    options: list[str | Path] = ["-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
    options += ["-c", "max_connections=100", "-c", "fsync=off", "-c", "log_min_messages=fatal"]
    log = (folder / "log").open("wb")
    command = [bin_folder / "postgres", *options]
    server: subprocess.Popen[bytes] = subprocess.Popen(command, stderr=log, **as_owner)
    try:
        cluster = Cluster(folder)
        _wait(cluster, server)
        yield cluster
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(cluster.url("postgres"), poolclass=NullPool)
    for _ in range(600):
        if server.poll() is not None:
            break
        with contextlib.suppress(Exception), engine.connect():
            return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start: {(cluster.folder / 'log').read_text()}")
