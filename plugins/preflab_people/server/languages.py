"""The languages of the pages: one JSON file each, with the same keys."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from preflab.errors import UserError

RIGHT_TO_LEFT = frozenset(("ar", "fa", "he", "ur"))
COOKIE = "preflab-language"
"""A choice and no secret; the page's own script writes it."""


@cache
def words_of(language: str) -> Mapping[str, str]:
    """All texts of the pages in a language."""
    path = files("preflab_people.server").joinpath("locales", f"{language}.json")
    words: Mapping[str, str] = json.loads(path.read_text(encoding="utf8"))
    return words


@cache
def available() -> tuple[str, ...]:
    """Languages that the pages can speak."""
    folder = files("preflab_people.server").joinpath("locales")
    names = (file.name for file in folder.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def check_languages(wanted: Sequence[str]) -> tuple[str, ...]:
    """The languages of a round. Raises UserError for one without texts."""
    for language in wanted:
        if language not in available():
            raise UserError(
                f"The pages do not speak {language!r}. Allowed: {', '.join(available())}."
            )
    return tuple(wanted) or ("en",)


def choose(offered: Sequence[str], chosen: str, accepted: str) -> str:
    """The language of a page. chosen: by the person; accepted: the browser's Accept-Language.

    >>> choose(["en", "ar"], "", "fr, ar-EG;q=0.8, en;q=0.5")
    'ar'
    """
    if chosen in offered:
        return chosen
    wishes = []
    for part in accepted[:500].split(","):
        tag, _, weight = part.strip().partition(";q=")
        if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9-]+)?", tag):
            good = re.fullmatch(r"[01](\.[0-9]{0,3})?", weight)
            wishes.append((-float(weight) if good else -1.0, tag.split("-")[0].lower()))
    best_first = [tag for _, tag in sorted(wishes, key=lambda wish: wish[0])]
    return next((tag for tag in best_first if tag in offered), offered[0])


def direction(language: str) -> str:
    """Of writing: ltr or rtl."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
