"""GPUs that this process may use, as its environment and the driver's tool tell them: without
torch, which must not have seen a GPU before jobs are forked."""

from __future__ import annotations

import os
import subprocess

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


def named() -> list[str] | None:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` names; None where it is not set. It counts up to its
    first name of no device, as CUDA reads it."""
    given = os.environ.get(VISIBLE)
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    none = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:none]


def asked(*facts: str) -> list[list[str]]:
    """What nvidia-smi says of every GPU of the machine, in its order; nothing without a driver.
    facts: such as "index", "uuid", "compute_cap"."""
    words = ["nvidia-smi", f"--query-gpu={','.join(facts)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == len(facts)]


def least_capability() -> float:
    """The least compute capability of the GPUs that this process may use; 0 if there is none.

    Names that nvidia-smi does not know stand for any of its GPUs: parts of one (MIG), and numbers
    unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` has CUDA count as nvidia-smi does.
    """
    names = named()
    if names == []:
        return 0.0
    told = asked("index", "uuid", "compute_cap")
    gpus = [row for row in told if row[2].replace(".", "", 1).isdigit()]
    if names is not None:
        counted = os.environ.get(ORDER) == "PCI_BUS_ID"
        # CUDA has no device for a number that is too large.
        names = [name for name in names if not name.isdigit() or int(name) < len(told)]
        own = [
            [row for row in gpus if row[1].startswith(name) or (counted and row[0] == name)]
            for name in names
        ]
        if all(own):
            gpus = [row for rows in own for row in rows]
    return min((float(capability) for _, _, capability in gpus), default=0.0)
