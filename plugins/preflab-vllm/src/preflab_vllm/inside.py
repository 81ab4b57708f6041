"""vLLM in this process: the weights go over in memory."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.interfaces import Policy, Sampling
from preflab_vllm.client import Answer
from preflab_vllm.config import VLLMConfig


def check_installed() -> None:
    """`UserError` without vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "rollout=vllm without rollout.server runs vLLM in this process, and it is not "
            "installed here: pip install 'preflab-vllm[vllm]' (it replaces torch: in an "
            "environment of its own), or start a server and give rollout.server=http://HOST:PORT."
        )


class Inside:
    """`preflab_vllm.engine.Copy`. vLLM starts with the first weights that it is given."""

    def __init__(self, config: VLLMConfig) -> None:
        check_installed()
        self.config, self._version = config, ""
        self._llm: Any = None

    def version(self) -> str:
        """What it was last given: nobody else has this copy."""
        return self._version

    def refresh(self, policy: Policy, version: str) -> None:
        """Start, or hand over the weights: a folder that save_pretrained wrote lacks the second
        names of tied tensors, so that they are always handed over."""
        if self._llm is None:
            self._llm = self._started(policy)
        self._version = ""  # whatever happens from here, it is not what it was
        weights = [(name, tensor) for name, tensor in policy.weights()]
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        self._llm.reset_prefix_cache()
        self._version = version

    def _started(self, policy: Policy) -> Any:
        # In this very process: weights are handed over as tensors, and seeds are per request.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        import torch
        from vllm import LLM

        with tempfile.TemporaryDirectory(prefix="preflab-vllm-") as name:
            folder = Path(name) / "model"
            policy.save(folder)
            return LLM(
                model=str(folder),
                dtype=self.config.dtype.value,
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                gpu_memory_utilization=self.config.memory,
                enable_prefix_caching=True,
                # On a CPU compiling takes minutes, and wins nothing.
                enforce_eager=not torch.cuda.is_available(),
                disable_log_stats=True,
                seed=0,
            )

    def complete(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        ends: Sequence[int],
    ) -> list[Answer]:
        """One request a row."""
        from vllm import SamplingParams

        settings = [
            SamplingParams(
                seed=seed,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=1.0,
                top_k=0,
                min_p=0.0,
                logprobs=0,
                stop_token_ids=list(ends),
                detokenize=False,
            )
            for seed in seeds
        ]
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        answers = self._llm.generate(asked, settings, use_tqdm=False)
        return [_answer(answer.outputs[0]) for answer in answers]


def _answer(output: Any) -> Answer:
    ids = list(output.token_ids)
    values = [step[token].logprob for step, token in zip(output.logprobs, ids, strict=True)]
    return Answer(ids, values)
