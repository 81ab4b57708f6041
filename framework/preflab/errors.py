"""Errors for people: what was wrong, where, what is allowed, what to do. Each carries its exit
code."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class PreflabError(Exception):
    """Base of every error that ends a run with one message and no traceback."""

    exit_code = 1


class UserError(PreflabError):
    """The input is wrong: a key, a value, a file, a row. Nothing has been computed or changed
    (exit code 2)."""

    exit_code = 2


class Absent(UserError):
    """What a component needs is not there now, such as a server that does not answer: a run is
    refused before any work, and a plan says so and goes on."""


class PluginError(PreflabError):
    """A plugin is broken: names the plugin, its distribution and version, the hook or component
    (exit code 3)."""

    exit_code = 3


class StorageError(PreflabError):
    """The disk refused: full, read-only, or an artifact that does not match its digest (exit code
    4)."""

    exit_code = 4


class NumericError(PreflabError):
    """A loss, gradient, reward or ratio is not finite or out of bounds; no weight was changed
    (exit code 5)."""

    exit_code = 5


class Waiting(PreflabError):
    """An input that people make, such as labels, is not there yet: nothing is wrong, what does not
    depend on it is made, and the same command goes on (exit code 6). ``{run}`` in the sentence
    stands for the folder of the run."""

    exit_code = 6


class SweepError(PreflabError):
    """Some jobs of a multirun failed; the others finished (exit code 1)."""


_FEW = 8
"""Of more words than this the nearest stands before all of them."""
EXAMPLES = 3
"""Of many rows, reasons or tokens, so many a message names."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Sentences that name the allowed words and the nearest one, to be appended to a message; the
    nearest first where the words are many.

    >>> nearest("pp", ["ppo", "sft"])
    "Allowed: ppo, sft. Did you mean 'ppo'?"
    >>> nearest("10", map(str, range(2, 11)))
    "Did you mean '10'? Allowed: 10, 2, 3, 4, 5, 6, 7, 8, 9."
    """
    options = sorted(set(allowed))
    sentences = [f"Allowed: {', '.join(options) or 'nothing'}.", meant(word, options)]
    return " ".join(filter(None, sentences[:: -1 if len(options) > _FEW else 1]))


def meant(word: str, allowed: Iterable[str]) -> str:
    """The question after the nearest word alone; "" if none is near.

    >>> meant("pp", ["ppo", "sft"]), meant("xyz", ["ppo"])
    ("Did you mean 'ppo'?", '')
    """
    close = difflib.get_close_matches(word, sorted(set(allowed)), n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else ""


def require_package(who: str, package: str, extra: str, otherwise: str = "") -> None:
    """`UserError`, with the cure, if an optional package is not installed. who: needs it; extra:
    of preflab, that brings it; otherwise: what else can be done, as the end of a sentence."""
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"{who} needs the package {package}, which is not installed. Install it with "
            f"pip install 'preflab[{extra}]'{otherwise}."
        )
