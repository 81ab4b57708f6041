"""What is known of a judge before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab.lengths import every_prompt, refuse
from preflab.records import Prompt
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.judge.asking import Asked
from preflab_builtin.judge.config import AskedModel


def preflight(config: AskedModel, context: Context) -> Iterator[str]:
    """How the judge is asked. `UserError` for weights that are not finite, and for prompts that are
    too long for it with the longest responses."""
    judge = Asked(config, context.runtime)
    check_finite(judge.folder)
    limit, longest = judge.policy.max_positions, max(map(len, judge.answers))
    longest += (len(config.fields) - 1) * config.max_tokens
    refuse(
        "prompts",
        _questions(judge, context),
        None if limit is None else limit - longest,
        f"the {limit} positions of the judge {judge.folder} less {longest} for what follows",
        [f"lower {context.key_of(config)}.max_tokens ({config.max_tokens})"],
    )
    how = "by its chat template" if judge.chats else "by a text, since it has no chat template"
    answers = " and ".join(config.answers)
    yield f"The judge {judge.folder} is asked {how}; its answers are {answers}."


def _questions(judge: Asked, context: Context) -> Iterator[tuple[Prompt, int]]:
    """Every prompt of the run, and the tokens of the question about an empty response."""
    empty = dict.fromkeys(judge.config.fields, "")
    for prompt in every_prompt(context):
        asked = judge.prompt({**empty, "prompt": prompt.text})
        yield prompt, len(judge.tokenizer.encode_prompt(asked))
