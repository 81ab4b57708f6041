"""Models that read what the run's policy reads, from folders of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import prompt_sizes, refuse_prompts
from preflab.prompts import with_prefix
from preflab.records import Prompt
from preflab_builtin.causal_lm.folders import positions_in, tokenizer_digest


def check_beside(
    context: Context, folder: Path, key: str, prompts: Iterable[Prompt], in_front: str = ""
) -> None:
    """`UserError` for a model that reads other token ids than the run's policy, or that has fewer
    positions than it, and than a prompt with the longest response needs. Its weights are not read.

    key: of the folder, for messages; in_front: a text that the model reads before each prompt.
    """
    if tokenizer_digest(folder) != context.tokenizer.digest:
        raise UserError(
            f"{key}: {folder} has another tokenizer than the policy: the same token ids mean "
            "different words. Name a model that was trained from the same pretrained model."
        )
    limit, own = positions_in(folder), context.max_positions
    if limit is None or (own is not None and own <= limit):
        return
    cap = context.rollout().sampling.max_tokens
    asked = (with_prefix(prompt, in_front) for prompt in prompts)
    sizes = prompt_sizes(context.tokenizer, asked, limit - cap)
    refuse_prompts(sizes, limit, cap, f"{key}={folder}", in_front=in_front)
