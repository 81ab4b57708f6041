"""What the machine can do: float32 matrix products, in GFLOP/s, as ``python -m benchmarks.roofline THREADS``."""

from __future__ import annotations

import json
import sys
import time

import torch


def matmul_gflops(threads: int) -> float:
    """The best rate of square products of three sizes; a size that fits the caches is as welcome as one that does not."""
    torch.set_num_threads(threads)
    best = 0.0
    for n in (512, 1024, 2048):
        a, b = torch.randn(n, n), torch.randn(n, n)
        torch.matmul(a, b)
        for _ in range(6):
            started = time.perf_counter()
            for _ in range(4):
                torch.matmul(a, b)
            best = max(best, 4 * 2 * n**3 / (time.perf_counter() - started) / 1e9)
    return best


if __name__ == "__main__":
    print(json.dumps({"gflops": matmul_gflops(int(sys.argv[1])), "torch": torch.__version__}))
