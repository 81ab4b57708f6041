"""vLLM as a server of its own, on this machine or another: requests over HTTP, weights through a
folder that both see."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from preflab.errors import PreflabError
from preflab.interfaces import Policy, Sampling
from preflab.runtime import Runtime
from preflab_vllm.client import AGAIN, Answer, Client
from preflab_vllm.config import VLLMConfig


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
        folder = Path(tempfile.mkdtemp(prefix="preflab-vllm-", dir=self.config.folder or None))
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


def write(policy: Policy, folder: Path) -> None:
    """The whole network as a file of safetensors: tied tensors under each of their names, which
    save_pretrained leaves out, so that vLLM would keep the old ones."""
    from safetensors.torch import save_file

    tensors = {name: tensor.cpu().clone() for name, tensor in policy.weights()}
    try:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    except OSError as error:
        raise PreflabError(
            f"The weights for the server do not fit into {folder} ({error}): name another folder "
            f"with rollout.folder. {AGAIN}"
        ) from None
    (folder / "model.safetensors").chmod(0o644)  # the server may run as somebody else
    folder.chmod(0o755)
