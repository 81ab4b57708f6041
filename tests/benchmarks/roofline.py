"""What the machine can do: matrix products, in GFLOP/s, as ``python -m benchmarks.roofline
THREADS DEVICE PRECISION``."""

from __future__ import annotations

import json
import sys
import time

import torch


def matmul_gflops(threads: int, device: str, precision: str) -> float:
    """The best rate of square products of three sizes; a size that fits the caches is as welcome
    as one that does not."""
    torch.set_num_threads(threads)
    best = 0.0
    for n in (512, 1024, 2048) if device == "cpu" else (2048, 4096, 8192):
        a, b = (torch.randn(n, n, device=device, dtype=getattr(torch, precision)) for _ in range(2))
        _wait(torch.matmul(a, b))
        for _ in range(6):
            started = time.perf_counter()
            for _ in range(4):
                found = torch.matmul(a, b)
            _wait(found)
            best = max(best, 4 * 2 * n**3 / (time.perf_counter() - started) / 1e9)
    return best


def _wait(computed: torch.Tensor) -> None:
    """A GPU works asynchronously: wait for it."""
    if computed.is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    device, precision = sys.argv[2:]
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(
        json.dumps(
            {
                "gflops": matmul_gflops(int(sys.argv[1]), device, precision),
                "device": name,
                "torch": torch.__version__,
            }
        )
    )
