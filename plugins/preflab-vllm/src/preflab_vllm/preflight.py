"""What is known of a server before the first stage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import islice

from preflab.errors import Absent, PreflabError, UserError
from preflab.interfaces import Context
from preflab.launched import world_size
from preflab.lengths import every_prompt
from preflab_vllm.client import START, Client, Unreachable
from preflab_vllm.config import VLLMConfig
from preflab_vllm.inside import check_installed

TEXTS = 20
"""Prompts of which both tokenizers' tokens are compared."""


def preflight(config: VLLMConfig, context: Context) -> Iterator[str]:
    """What is going to sample. `Absent` for a server that does not answer; `UserError` for one that
    takes no weights, has another tokenizer, or reads fewer tokens than the run needs."""
    if not config.server:
        check_installed()
        _check_alone(context)
        return
    _check_folder(config.folder)
    client = Client(config.server, config.timeout)
    try:
        model = client.model()
        client.weights()
        _check_tokenizer(client, str(model["id"]), context)
    except Unreachable as error:
        raise Absent(str(error)) from None
    except PreflabError as error:
        raise UserError(str(error)) from None
    _check_length(config, model.get("max_model_len"), context)
    yield (
        f"rollout.server={config.server}: vLLM samples, with a copy of the weights that is "
        f"refreshed after every update (it serves {model.get('root') or model['id']})."
    )


def _check_alone(context: Context) -> None:
    """`UserError` for several processes: vLLM in a process takes what torchrun sets for its own
    parts, and starts from a folder that only process 0 writes."""
    if max(context.runtime.config.processes, world_size()) > 1:
        raise UserError(
            "rollout=vllm without rollout.server runs vLLM in the job's process, and this job has "
            "several. Start a server and give rollout.server=http://HOST:PORT, or leave "
            "runtime.processes out."
        )


def _check_folder(folder: str) -> None:
    if folder and not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(
            f"rollout.folder={folder} is no folder that can be written to, and weights go through "
            "it to the server: make it where both see it, or leave rollout.folder out if the "
            f"server runs on this machine ({tempfile.gettempdir()} is used then)."
        )


def _check_tokenizer(client: Client, model: str, context: Context) -> None:
    for prompt in islice(every_prompt(context), TEXTS):
        own = list(context.tokenizer.encode(prompt.text))
        theirs = client.tokens_of(model, prompt.text)
        if theirs is None:
            return
        if theirs != own:
            raise UserError(
                f"rollout.server={client.address} has another tokenizer than the policy: prompt "
                f"{prompt.id!r} is {own[:8]} here and {theirs[:8]} there. Serve a model folder of "
                f"this policy: {START}."
            )


def _check_length(config: VLLMConfig, limit: int | None, context: Context) -> None:
    if limit is None:
        return
    longest = max(
        (len(context.tokenizer.encode_prompt(prompt)) for prompt in every_prompt(context)),
        default=0,
    )
    if longest + config.max_tokens > limit:
        raise UserError(
            f"rollout.server={config.server} reads at most {limit} tokens, and the longest prompt "
            f"({longest}) with rollout.max_tokens={config.max_tokens} needs "
            f"{longest + config.max_tokens}. Start it with --max-model-len "
            f"{longest + config.max_tokens} or more, or shorten one of them."
        )
