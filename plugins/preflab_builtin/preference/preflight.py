"""Rankings, looked at before the first stage."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import check_rows
from preflab.records import Ranking
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.training import continuing

NO_PREFERENCE = "There is no ranking with a preference to learn from."
ONE_PROMPT = (
    "All rankings are of one prompt, and algorithm.loss=kto estimates its KL with responses to "
    "other prompts. Choose algorithm.loss=dpo, or give rankings of a second prompt."
)
CUT = "cut responses with algorithm.max_tokens=N"


def preflight(config: PreferenceConfig, context: Context) -> Iterator[str]:
    """`UserError` for rankings of the data that do not fit into the policy, among which there is no
    preference, or (kto) which are all of one prompt. What the comparisons will be is not known
    yet."""
    yield from continuing.preflight(config, config.optimizer)
    if not context.has("rankings"):
        return
    rankings: list[Ranking] = [r for r in context.rankings("train") if r.preferences]
    if not rankings:
        raise UserError(NO_PREFERENCE)
    if config.loss is Loss.kto and len({ranking.prompt.text for ranking in rankings}) == 1:
        raise UserError(ONE_PROMPT)
    check_rows(context, "rankings", rankings, config.max_tokens, [CUT])
