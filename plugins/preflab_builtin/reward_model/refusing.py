"""Rankings that a model could not learn from: they are too long for it, prefer one of two responses
that are the same tokens to it, or contradict themselves. Refused in the same words before the first
stage and where they are read, and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

from preflab.errors import UserError
from preflab.interfaces import Context, Tokenizer
from preflab.lengths import check_rows, place
from preflab.records import Ranking


def cut_with(key: str) -> str:
    """The words that make responses shorter. key: of the component whose option it is."""
    return f"cut responses with {key}.max_tokens=N"


def check_rankings(
    context: Context, rankings: Sequence[Ranking], max_tokens: int | None, key: str
) -> None:
    """`UserError` for rankings that do not fit into the policy, or whose preferred response has the
    same tokens as the other. max_tokens: responses are cut to it; key: of the component that cuts
    them."""
    try:
        check_rows(context, "rankings", rankings, max_tokens)
    except UserError:
        check_rows(context, "rankings", rankings, 1)  # prompts that are too long alone
        check_rows(context, "rankings", rankings, max_tokens, [cut_with(key)])
    for ranking in rankings:
        if _may_be_alike(ranking, max_tokens):
            cut_responses(ranking, context.tokenizer, max_tokens, key)


def cut_responses(
    ranking: Ranking, tokenizer: Tokenizer, max_tokens: int | None, key: str
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """The tokens of each response, its end token included, cut to a number of them, and how many
    the cut took from each. `UserError` if one of two responses with the same tokens is preferred:
    its loss would remain at log 2."""
    whole = [tuple(tokenizer.encode_response(ranking.prompt, r)) for r in ranking.responses]
    responses = tuple(ids[:max_tokens] for ids in whole)
    lost = tuple(len(ids) - len(cut) for ids, cut in zip(whole, responses, strict=True))
    for better, worse in ranking.preferences:
        if responses[better] == responses[worse]:
            advice = "Use a tokenizer that tells them apart, or"
            if lost[better] or lost[worse]:
                advice = f"Raise {key}.max_tokens ({max_tokens}), or"
            raise UserError(
                f"The ranking of {place(ranking.prompt)} prefers response {better} to "
                f"response {worse}, but both are the same {len(responses[better])} tokens to the "
                f"model. {advice} leave the row out."
            )
    return responses, lost


def refuse_contradictions(rankings: Sequence[Ranking], key: str) -> None:
    """`UserError` naming the first ranking with a pair that is preferred both ways: it has no
    order, which Plackett-Luce is about. key: of the component whose loss that is."""
    for ranking in rankings:
        known = set(ranking.preferences)
        for better, worse in ranking.preferences:
            if (worse, better) in known:
                raise UserError(
                    f"The ranking of {place(ranking.prompt)} prefers response {better} to response "
                    f"{worse} and the other way round, so that it has no order. Choose "
                    f"{key}.loss=pairs, or leave the row out."
                )


def refuse_unrated(rankings: Sequence[Ranking], key: str) -> None:
    """`UserError` naming the first ranking without ratings, or if all ratings are equal: there is
    nothing to regress on. key: of the component whose loss that is."""
    for ranking in rankings:
        if len(ranking.ratings) != len(ranking.responses):
            raise UserError(
                f"The ranking of {place(ranking.prompt)} has no ratings, and {key}.loss=regression "
                f"learns them. To learn which answer is better: {key}.loss=pairs. To learn "
                "ratings, the file needs a number for each answer: rows with 'prompt', 'responses' "
                "and 'scores', or a row for each answer with 'prompt', 'response' and 'score'; "
                "simulated labelers rate with labeler.ratings=true."
            )
    if len({value for ranking in rankings for value in ranking.ratings}) == 1:
        raise UserError(
            f"All ratings are {rankings[0].ratings[0]:g}: {key}.loss=regression has nothing to "
            f"learn. Choose {key}.loss=pairs, or give other ratings."
        )


def _may_be_alike(ranking: Ranking, tokens: int | None) -> bool:
    """Whether two responses may have the same tokens, whole or cut to a number of them: each token
    has a byte at least, and a character four at most. A tokenizer may change case, accents and
    white space."""
    looks: list[list[str]] = [[_plain(text) for text in ranking.responses]]
    if tokens is not None:
        looks.append([_plain(text[: tokens // 4]) for text in ranking.responses])
    return any(
        look[better] == look[worse] for look in looks for better, worse in ranking.preferences
    )


def _plain(text: str) -> str:
    return "".join(normalize("NFKD", text).casefold().split())
