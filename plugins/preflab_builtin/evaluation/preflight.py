"""What an evaluation will need at the end of a run, looked at before its first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import POLICY, check_prompts, refuse, row_sizes
from preflab.prompts import check_prefix, unread_prefix
from preflab.records import Demonstration
from preflab_builtin.evaluation.config import (
    FILE,
    DocumentLossConfig,
    FamiliesConfig,
    RewardAccuracyConfig,
    SuiteConfig,
    WinRateConfig,
)
from preflab_builtin.evaluation.documents import DocumentLoss, FamilyAccuracy
from preflab_builtin.evaluation.reward_accuracy import judged_pairs
from preflab_builtin.evaluation.stored import stored_responses
from preflab_builtin.evaluation.suite import chosen_prompts


def suite(config: SuiteConfig, context: Context) -> Iterator[str]:
    """`UserError` if there are no prompts to answer, if one leaves no room for a response, or if a
    stored response is missing or too long. A sentence, if the policy cannot read the prefix."""
    prompts = chosen_prompts(config, context)
    yield from unread_prefix(context.tokenizer, config.prefix, "evaluation.prefix")
    check_prompts(context, prompts, config.in_front(context))
    if config.baseline == FILE:
        stored = stored_responses(config.baseline_path, prompts)
        rows = [Demonstration(*row) for row in zip(prompts, stored, strict=True)]
        limit = context.max_positions
        if limit is not None:
            sizes = row_sizes(context.tokenizer, rows, limit)
            what = f"responses of {config.baseline_path}"
            refuse(
                what,
                sizes,
                limit,
                f"the positions of {POLICY}, with their prompts",
                ["shorten them"],
            )
    for evaluator in config.evaluators.values() if prompts else ():
        if isinstance(evaluator, WinRateConfig) and evaluator.group is not None:
            text = prompts[0].text  # refused if there is no such group of people
            context.labeler().preference(prompts[0], text, text, evaluator.group)


def families(config: FamiliesConfig, context: Context) -> Iterator[str]:
    """`UserError` if no held-out document has a question, if the policy cannot read the prefix, or
    if a question behind it leaves no room for the answer."""
    check_prefix(context.tokenizer, config.prefix, "evaluators: families.prefix")
    groups = FamilyAccuracy(config, context).probes.values()
    encode, limit = context.tokenizer.encode_prompt, context.max_positions
    sizes = [(p.prompt, len(encode(p.prompt)) + p.most) for probes in groups for p in probes]
    cures = ["shorten evaluators: families.prefix"] * bool(config.prefix)
    cures.append("leave the evaluator out with evaluation.evaluators.families=null")
    refuse(
        "questions of documents", sizes, limit, f"the positions of {POLICY}, with answers", cures
    )
    yield from ()


def document_loss(config: DocumentLossConfig, context: Context) -> Iterator[str]:
    """`UserError` if there is no held-out document, if the policy cannot read the prefix, or if
    this leaves no room for two tokens of a document, of which the second one counts."""
    check_prefix(context.tokenizer, config.prefix, "evaluators: document_loss.prefix")
    DocumentLoss(config, context)
    limit, taken = context.max_positions, len(context.tokenizer.encode(config.prefix))
    if limit is not None and config.prefix and taken > limit - 2:
        raise UserError(
            f"evaluators: document_loss.prefix has {taken} tokens, which leave no room for a "
            f"document in the {limit} positions of the policy: shorten it."
        )
    yield from ()


def reward_accuracy(config: RewardAccuracyConfig, context: Context) -> Iterator[str]:
    """`UserError` if the data has rankings, but no held-out one with a preference. What the
    comparisons will be is not known yet."""
    if context.has("rankings"):
        judged_pairs(config, context)
    yield from ()
