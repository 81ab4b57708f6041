"""vLLM in this process: the weights go over in memory. There is one for each model, whoever samples
from it: each holds memory for a whole copy and its cache."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.interfaces import Policy, Sampling
from preflab_vllm.client import Answer
from preflab_vllm.config import Format


def check_installed() -> None:
    """`UserError` without vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(
            "rollout=vllm without rollout.server runs vLLM in this process, and it is not "
            "installed here: pip install 'preflab-vllm[vllm]' (it replaces torch: in an "
            "environment of its own), or start a server and give rollout.server=http://HOST:PORT."
        )


@cache
def inside(dtype: Format, memory: float) -> Inside:
    """The one of this process with these settings, which all engines share."""
    return Inside(dtype, memory)


class Inside:
    """`preflab_vllm.engine.Copy`. vLLM starts with the first weights of a model that it is given.

    dtype: number format of its copy; memory: share of a GPU's memory for a model.
    """

    def __init__(self, dtype: Format, memory: float) -> None:
        check_installed()
        self.dtype, self.memory, self._version = dtype, memory, ""
        self._llm: Any = None
        self._started: dict[str, Any] = {}

    def version(self) -> str:
        """What it was last given: nobody else has this copy."""
        return self._version

    def refresh(self, policy: Policy, version: str) -> None:
        """Start if need be, and hand over the weights: a folder that save_pretrained wrote lacks
        the second names of tied tensors, so that they are always handed over."""
        self._version = ""  # whatever happens from here, it is not what it was
        model = architecture(policy)
        if model not in self._started:
            self._started[model] = self._start(policy)
        self._llm = self._started[model]
        weights = [(name, tensor) for name, tensor in policy.weights()]
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        self._llm.reset_prefix_cache()
        self._version = version

    def _start(self, policy: Policy) -> Any:
        # In this very process: weights are handed over as tensors, and seeds are per request.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        import torch
        from vllm import LLM

        with tempfile.TemporaryDirectory(prefix="preflab-vllm-") as name:
            folder = Path(name) / "model"
            policy.save(folder)
            return LLM(
                model=str(folder),
                dtype=self.dtype.value,
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                gpu_memory_utilization=self.memory,
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


_SAVED = {"_name_or_path", "architectures", "dtype", "transformers_version"}
"""What saving or loading a model writes into its config."""


def architecture(policy: Policy) -> str:
    """Equal for policies whose weights one model can take in turn, saved or not."""
    module: Any = policy.module
    settings = {k: v for k, v in module.config.to_dict().items() if k not in _SAVED}
    return json.dumps([type(module).__name__, settings], sort_keys=True, default=str)


def _answer(output: Any) -> Answer:
    ids = list(output.token_ids)
    values = [step[token].logprob for step, token in zip(output.logprobs, ids, strict=True)]
    return Answer(ids, values)
