"""What torch.compile needs of a machine, asked before any work."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

from preflab.errors import UserError

COMPILERS = {"cpu": ("C++", "CXX", ("g++",)), "cuda": ("C", "CC", ("gcc", "clang"))}
"""By device: what is compiled, the variable that names a compiler, and those that torch, or for a
GPU triton, looks for without it."""
_LEFT_OUT = "or leave runtime.compile out."


def check_compilers(device: str) -> None:
    """`UserError` for what this machine lacks to compile for a device, "cpu" or "cuda"."""
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError(
            "runtime.compile=true on a GPU needs the package triton, which torch's builds for GPUs "
            f"bring and which is not installed here: pip install triton, {_LEFT_OUT}"
        )
    language, variable, usual = COMPILERS[device]
    named = os.environ.get(variable)
    wanted = (named,) if named else usual
    if not any(map(shutil.which, wanted)):
        raise UserError(
            f"runtime.compile=true needs a compiler of {language}, and there is no "
            f"{' and no '.join(wanted)} here. Install one (apt-get install {usual[0]}), give its "
            f"place by the variable {variable}, {_LEFT_OUT}"
        )
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.is_file():
        raise UserError(
            f"runtime.compile=true needs the headers of Python, and there is no {headers}. Install "
            f"them (apt-get install python3-dev), {_LEFT_OUT}"
        )
