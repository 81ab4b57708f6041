"""Config of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from preflab import option


class Format(StrEnum):
    """Number format of vLLM's copy of the weights, and of its arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@dataclass
class VLLMConfig:
    """vLLM samples, in this process or as a server. Each row has a seed of its own."""

    name: str = option("vllm", "component")
    max_tokens: int = option(32, "longest response in tokens, end token included", ge=1, fast=8)
    temperature: float = option(
        1.0,
        "of training rollouts; it also divides the logits of all log-probs (1: the model itself)",
        gt=0,
    )
    server: str = option(
        "",
        "address of a vLLM server, as http://127.0.0.1:8000; empty: vLLM in this process",
        affects_result=False,
    )
    dtype: Format = option(
        Format.float32, "in this process: number format of vLLM's copy (a server has its own)"
    )
    memory: float = option(
        0.3,
        "in this process: share of a GPU's memory for vLLM's copy of the weights and its cache",
        gt=0,
        le=1,
        affects_result=False,
    )
    folder: str = option(
        "",
        "where weights are written for the server, a folder that it sees too (over the network: a "
        "shared disk); empty: the system's folder for temporary files",
        affects_result=False,
    )
    requests: int = option(
        64, "rows that the server is asked for at a time", ge=1, affects_result=False
    )
    timeout: float = option(
        600.0,
        "seconds after which a server that has not answered counts as hung",
        gt=0,
        affects_result=False,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """The address is one."""
        if not self.server:
            return
        parts = urlsplit(self.server)
        try:
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            is_address = False
        if not is_address:
            yield "server", f"is {self.server}, which is no address: write http://HOST:PORT"
        elif parts.path.rstrip("/").endswith("/v1"):  # what clients of OpenAI are given
            yield "server", f"is {self.server}: leave /v1 out, write http://HOST:PORT"
