"""The names that people give columns, and the words in them."""

from __future__ import annotations

import re
from functools import lru_cache

ABOUT = ("id", "user", "group", "split", "tags", "labeler", "labeler_group", "notes")
"""Columns that say something about a row, in every shape."""
ABOUT_DOCUMENTS = ("id", "split")
"""Those that say something about a document."""
SAID_BY = ("labeler", "labeler_group")
"""Columns that say who judged: what two people say is never one ranking."""
BEFORE = ("system", "history")
"""Columns that every shape with a question understands: what stands before the question."""
ASKS = ("prompt", "instruction", "question", "input", "query", "chat", "messages", "text")
"""Names of what is asked, the most usual first."""
CONVERSATIONS = ("messages", "conversations", "conversation")
"""What people call the column with a conversation."""
LIKED = ("label", "kto_tag")
"""Columns that say whether people liked a completion."""
BETTER = {"winner", "winners", "winning", "win", "preference", "preferences", "preferred"}
BETTER |= {"better", "best", "choice", "chosen", "selected", "selection", "verdict", "pick"}
BETTER |= {"judgement", "judgment", "decision", "favorite", "favourite", "picked", "prefer"}
"""Words of a column that says which answer is the better one."""
WORSE = {"loser", "losing", "worse", "worst", "rejected", "reject", "lost", "disliked"}
WORSE |= {"dispreferred", "unpreferred", "nonpreferred", "unchosen", "unselected", "inferior"}
WORSE |= {"loses", "nonchosen", "disfavored", "lesspreferred", "leastpreferred", "secondbest"}
"""Words of a column that names the worse answer."""
TURNS_ROUND = {"not", "non", "no", "un", "less", "least", "second", "third", "last", "lower"}
TURNS_ROUND |= {"lowest", "never", "anti", "dis", "wrong", "incorrect", "bad"}
"""Words that turn a word for the better answer into one for another: not_chosen, second_best,
best_wrong."""
FACTS = {
    *("id", "ids", "uuid", "hash", "url", "urls", "link", "source", "sources", "dataset"),
    *("origin", "title", "license", "date", "time", "timestamp", "created", "model", "models"),
    *("topic", "category", "domain", "type", "task", "language", "lang", "metadata", "meta"),
    *("logprobs", "probability", "stats", "version"),
}
"""Words that make a column a fact about the row: where it comes from, what it is about."""
PEOPLE = {"person", "user", "annotator", "annotators", "labeler", "labeller", "rater", "judge"}
PEOPLE |= {"worker", "expert", "reviewer", "evaluator", "email"}
"""Words of a column that names who judged."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NUMBER = re.compile(r"(?<=[a-z])(?=\d)")


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case.

    >>> words_of("chatHistory_2"), words_of("response1")
    (('chat', 'history', '2'), ('response1',))
    """
    return tuple(w for w in re.split(r"[^a-z0-9]+", _CAMEL.sub(" ", name).lower()) if w)


@lru_cache(maxsize=4096)
def parts_of(name: str) -> tuple[str, ...]:
    """The same with a number at the end of a word apart.

    >>> parts_of("response1"), parts_of("model_a")
    (('response', '1'), ('model', 'a'))
    """
    return tuple(part for word in words_of(name) for part in _NUMBER.sub(" ", word).split())


def names_worse(name: str) -> bool:
    """Whether a name says that a column is of the worse answer.

    >>> names_worse("loser"), names_worse("least_preferred"), names_worse("last_turn")
    (True, True, False)
    """
    return words_say_worse(frozenset(words_of(name)))


def words_say_worse(words: frozenset[str]) -> bool:
    """The same for the words of a name."""
    return bool(words & WORSE or (words & BETTER and words & TURNS_ROUND))


def names_better(name: str) -> bool:
    """Whether a name says that a column is of the better answer."""
    return not BETTER.isdisjoint(words_of(name)) and not names_worse(name)


@lru_cache(maxsize=4096)
def twins(names: frozenset[str]) -> frozenset[str]:
    """Facts about each of both answers of a pair, as score_chosen beside score_rejected: what they
    say is of one answer, and names none as the better one.

    >>> sorted(twins(frozenset({"chosen", "rejected", "score_chosen", "rejectedModel", "x"})))
    []
    >>> sorted(twins(frozenset({"score_chosen", "score_rejected", "chosen_model"})))
    ['score_chosen', 'score_rejected']
    """
    turned = {"chosen": "rejected", "rejected": "chosen"}
    worded = {words_of(name): name for name in names}
    return frozenset(
        name
        for words, name in worded.items()
        if len(words) > 1
        and turned.keys() & set(words)
        and tuple(turned.get(word, word) for word in words) in worded
    )
