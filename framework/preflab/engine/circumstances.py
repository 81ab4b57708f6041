"""What is not part of a recipe but may change the last bits of a result: noted with it, and
compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflab.runtime import RuntimeConfig, device_name, threads


def circumstances(runtime: RuntimeConfig, versions: Mapping[str, str]) -> dict[str, Any]:
    """Those of this process."""
    return {
        "device": device_name(runtime),
        "threads": threads(runtime),
        "processes": runtime.processes,
        "micro_batch": runtime.micro_batch,
        "sharding": runtime.sharding.value,
        "fast_paths": runtime.fast_paths,
        "compile": runtime.compile,
        "torch": versions.get("torch", ""),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Where two differ, as a list in words; "" if nowhere. What either lacks is left out."""
    known = {k: v for k, v in now.items() if v is not None and then.get(k) is not None}
    return ", ".join(f"{k} {then[k]} (now {v})" for k, v in known.items() if then[k] != v)
