"""vLLM as a server of its own, on this machine or another: requests over HTTP, weights through a
folder that both see."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import PreflabError
from preflab.interfaces import Policy, Sampling
from preflab.runtime import Runtime
from preflab.storage.durable import disk_error
from preflab_vllm.client import AGAIN, Answer, Client
from preflab_vllm.config import VLLMConfig

if TYPE_CHECKING:
    import torch

PIECE = 4 * 2**30
"""Bytes of tensors in one file: no more of the network is in memory a second time."""


class Server:
    """`preflab_vllm.engine.Copy`."""

    def __init__(self, config: VLLMConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.client = Client(config.server, config.timeout)

    @cached_property
    def model(self) -> str:
        """What the server calls its model."""
        return str(self.client.model()["id"])

    def version(self) -> str:
        """What the server says: it may have been started again since, or serve another run too."""
        return self.client.weights()

    def refresh(self, policy: Policy, version: str) -> None:
        """Write the weights, and have the server read them."""
        where = os.path.abspath(self.config.folder) if self.config.folder else None
        folder = Path(tempfile.mkdtemp(prefix="preflab-vllm-", dir=where))
        try:
            write(policy, folder)
            self.client.load(str(folder), version)
        except PreflabError as error:
            raise PreflabError(
                f"{error} It was asked to read the policy's weights from {folder}: it must see "
                "that folder (rollout.folder), and serve a model of the policy's architecture."
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        ends: Sequence[int],
    ) -> list[Answer]:
        """One request a row, some at a time."""

        def one(prompt: Sequence[int], seed: int) -> Answer:
            return self.client.complete(
                self.model, prompt, seed, sampling.max_tokens, sampling.temperature, ends
            )

        _ = self.model  # asked once, not by every thread
        pool = ThreadPoolExecutor(min(self.config.requests, len(prompts)))
        try:
            return list(pool.map(one, prompts, seeds))
        finally:
            pool.shutdown(cancel_futures=True)


def write(policy: Policy, folder: Path, most: int = PIECE) -> None:
    """The whole network as files of safetensors, each of ``most`` bytes and at least one tensor:
    tied tensors under each of their names, which save_pretrained leaves out, so that vLLM would
    keep the old ones."""
    piece: dict[str, torch.Tensor] = {}
    held = files = 0
    try:
        for name, tensor in policy.weights():
            if piece and held + tensor.nbytes > most:
                _write(piece, folder, files)
                piece, held, files = {}, 0, files + 1
            piece[name] = tensor.cpu().clone()
            held += tensor.nbytes
        _write(piece, folder, files)
    except Exception as error:  # safetensors' own for a full disk
        if (refusal := disk_error(error)) is None:
            raise
        raise PreflabError(
            f"The weights for the server do not fit into {folder} ({refusal}): name another folder "
            f"with rollout.folder. {AGAIN}"
        ) from None
    folder.chmod(0o755)  # the server may run as somebody else


def _write(tensors: dict[str, torch.Tensor], folder: Path, number: int) -> None:
    from safetensors.torch import save_file

    file = folder / f"model-{number:05d}.safetensors"
    save_file(tensors, file, metadata={"format": "pt"})
    file.chmod(0o644)
