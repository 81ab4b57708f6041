"""``make bench``: preflab against what a user would take instead, side by side. README.md in this
folder says how.

JSON lines on the standard output, one a measurement; progress and the table at the end on the
error output. Exit code 1 if two sides did not compute the same, a worker failed, the peer was
better, or a command starts too slowly.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.growth import growth
from benchmarks.measuring import TESTS, Machine, alternate, processors
from benchmarks.reading import reading
from benchmarks.results import SAME, Different, Row, memory_row, rounded
from benchmarks.shapes import BOUNDS, NAMES, ON, REPEATS, SIZES, STEPS
from benchmarks.startup import startup

ALL = (*NAMES, "growth", "startup", "reading")
AS = {"ppo_peak_memory": "ppo_iteration"}
"""Names of lines that come out of another measurement."""


@dataclass(frozen=True)
class Wanted:
    """What to measure. repeats 0: as many as `REPEATS` says."""

    sizes: tuple[str, ...]
    names: tuple[str, ...]
    repeats: int
    threads: int
    device: str
    precision: str
    peers: str
    ours: str


def wanted(arguments: Sequence[str]) -> Wanted:
    """The command line; argparse ends the process for an unknown name."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench", description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=[], choices=list(SIZES))
    parser.add_argument("--names", nargs="*", default=[], choices=[*ALL, *AS])
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=list(ON), default="cpu")
    parser.add_argument(
        "--precision",
        choices=list(SAME),
        default="float32",
        help="of the forward pass, on both sides",
    )
    parser.add_argument(
        "--peers", default="", help="python of the peers; default: the one that make bench made"
    )
    parser.add_argument(
        "--ours", default="", help='further overrides of ours, such as "runtime.offload=true"'
    )
    found = parser.parse_args(arguments)
    if not 0 <= found.repeats <= STEPS - 2:
        parser.error(
            f"--repeats is {found.repeats} but must be 1 to {STEPS - 2}, the steps there is data "
            "for; 0: as many as usual"
        )
    names = {AS.get(name, name) for name in found.names} or set(ALL)
    sizes = tuple(size for size in SIZES if size in (found.sizes or ON[found.device]))
    chosen = tuple(name for name in ALL if name in names)
    return Wanted(
        sizes,
        chosen,
        found.repeats,
        found.threads,
        found.device,
        found.precision,
        found.peers,
        found.ours,
    )


def tell(text: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def emit(line: dict[str, Any]) -> None:
    """One line of output."""
    print(json.dumps(rounded(line)), flush=True)


def helper(module: str, *words: str, threads: int) -> str:
    """Run a module of this package in a process of its own, so that this one stays small and
    idle; what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout


def machine(folder: Path, peer_python: str, asked: Wanted) -> Machine:
    """The machine, its peak just measured; one line of output says so."""
    roof = json.loads(
        helper("roofline", str(asked.threads), asked.device, asked.precision, threads=asked.threads)
    )
    load = os.getloadavg()[0]
    facts = {
        "threads": asked.threads,
        "processors": processors(),
        "load": load,
        "precision": asked.precision,
    }
    emit({"name": "machine", **facts, **roof})
    if load > 0.5:
        tell(f"the machine is not idle (load {load:.1f}): ratios are rough")
    return Machine(
        folder,
        peer_python,
        asked.threads,
        roof["gflops"],
        asked.device,
        asked.precision,
        asked.ours,
    )


def measured(here: Machine, asked: Wanted, failures: list[str]) -> Iterator[Row]:
    """All comparisons, sizes from small to large; what fails is reported, the rest is measured."""
    for size in asked.sizes:
        comparisons = [name for name in NAMES if name in asked.names]
        if not comparisons:
            continue
        tell(f"{size}: weights and data")
        helper("prepare", size, str(here.folder / size), threads=here.threads)
        for name in comparisons:
            tell(f"{size}: {name}")
            try:
                row = alternate(here, name, size, asked.repeats or REPEATS[size])
            except (Different, RuntimeError) as error:
                failures.append(f"{name}, {size}: {error}")
                tell(failures[-1])
                emit({"name": name, "size": size, "error": str(error)})
                continue
            yield row
            if name == "ppo_iteration":
                yield memory_row(row)


def table(rows: Sequence[Row]) -> Table:
    """The rows next to their targets."""
    found = Table(title="preflab against TRL and transformers (ratio above 1: preflab is better)")
    for column in (
        "name",
        "size",
        "ours",
        "peer",
        "unit",
        "ratio",
        "target",
        "of matmul peak",
        "peer's",
        "MB",
        "peer's MB",
    ):
        found.add_column(column, justify="left" if column in ("name", "size", "unit") else "right")
    for row in rows:
        shares = [
            "" if share is None else f"{share:.0%}"
            for share in (row.ours_fraction, row.peer_fraction)
        ]
        style = "green" if row.ratio >= row.target else "yellow" if row.ratio >= 1 else "red"
        ratio = f"[{style}]{row.ratio:.2f}[/{style}]"
        memory = [f"{row.ours_peak_mb:.0f}", f"{row.peer_peak_mb:.0f}"]
        numbers = [f"{row.ours:.4g}", f"{row.peer:.4g}", row.unit, ratio, f"{row.target:g}"]
        found.add_row(row.name, row.size, *numbers, *shares, *memory)
    return found


def below(rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each row that does not reach its target: by how much, and what bounds it."""
    for row in rows:
        if row.ratio < row.target:
            share = "" if row.ours_fraction is None else f" at {row.ours_fraction:.0%} of the peak"
            reached = f"{row.ratio:.2f} of {row.target:g}{share}"
            yield f"{row.name}, {row.size}: {reached}; bounded by {BOUNDS[row.name]}"


def alone(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Measure what has no peer; what is slower than it should be."""
    if "startup" in names:
        tell("startup")
        for line in startup():
            emit(line)
            if line["cpu_seconds"] > line["target"]:
                took = f"takes {line['cpu_seconds']:.2f} s of CPU time"
                yield f"{line['command']} {took}; {line['target']:g} at most"
    if "reading" in names:
        tell("reading")
        for line in reading(folder):
            emit(line)
            if line["ratio"] > line["target"]:
                took = f"reading rows of the form {line['form']} takes {line['ratio']:.1f} times"
                yield f"{took} the CPU time of json.loads; {line['target']:g} at most"


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; the exit code."""
    asked = wanted(arguments)
    build = TESTS.parent / "build"
    folder, peers = build / "bench", Path(asked.peers or build / "peers" / "bin" / "python")
    if not peers.exists():
        tell(
            f"there is no environment of the peers at {peers.parent.parent}: run 'make bench', "
            "which makes it"
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    here = machine(folder, str(peers), asked)
    failures: list[str] = []
    rows: list[Row] = []
    for row in measured(here, asked, failures):
        emit(row.line())
        rows.append(row)
        if row.ratio < 1:
            failures.append(
                f"{row.name}, {row.size}: the peer is better by {1 / row.ratio:.2f} times"
            )
    if "growth" in asked.names:
        size = asked.sizes[0]
        tell(f"{size}: growth")
        helper("prepare", size, str(folder / size), threads=asked.threads)
        for line in growth(here, size):
            emit(line)
    failures += alone(asked.names, folder)
    Console(file=sys.stderr, width=140).print(table(rows))
    for sentence in below(rows):
        tell(sentence)
    for failure in failures:
        tell(f"FAILED: {failure.splitlines()[0]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
