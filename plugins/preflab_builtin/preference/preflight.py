"""Rankings, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.records import Ranking
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.reward_model.refusing import check_rankings
from preflab_builtin.training import continuing

NO_PREFERENCE = "There is no ranking with a preference to learn from."
ONE_PROMPT = (
    "All rankings are of one prompt, and algorithm.loss=kto estimates its KL with responses to "
    "other prompts. Choose algorithm.loss=dpo, or give rankings of a second prompt."
)


def preflight(config: PreferenceConfig, context: Context) -> Iterator[str]:
    """`UserError` for rankings of the data that do not fit into the policy, whose preferred
    response has the same tokens as the other, among which there is no preference, or (kto) which
    are all of one prompt. What the comparisons will be is not known yet."""
    yield from continuing.preflight(config, config.optimizer)
    if not context.has("rankings"):
        return
    rankings: list[Ranking] = [r for r in context.rankings("train") if r.preferences]
    if not rankings:
        raise UserError(NO_PREFERENCE)
    if config.loss is Loss.kto and len({ranking.prompt.text for ranking in rankings}) == 1:
        raise UserError(ONE_PROMPT)
    check_rankings(context, rankings, config.max_tokens, context.key_of(config))
