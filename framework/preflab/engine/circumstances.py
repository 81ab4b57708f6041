"""What is not part of a recipe but may change the last bits of a result: noted with it, and
compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from preflab.runtime import Device, RuntimeConfig


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


def threads(config: RuntimeConfig) -> int | None:
    """CPU threads of torch in a process; None where torch decides and has not been asked to
    compute."""
    torch = sys.modules.get("torch")
    return config.threads if config.threads or torch is None else int(torch.get_num_threads())


def device_name(config: RuntimeConfig) -> str | None:
    """Where a process computes, cpu or cuda; None where torch decides and has not been asked to
    compute."""
    torch = sys.modules.get("torch")
    if config.device is not Device.auto or torch is None:
        return None if config.device is Device.auto else config.device.value
    return "cuda" if torch.cuda.is_available() else "cpu"
