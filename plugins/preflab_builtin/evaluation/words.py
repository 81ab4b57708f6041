"""Texts as words, in every script.

Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese and a few
more) are split by character, a letter with its marks being one; all others by words, which are runs
of letters, marks and digits. An emoji or another picture is a word. Texts of a-z and 0-9 give the
words that rouge-score gives.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable

import regex

_SCRIPTS = "Han Hira Kana Bopo Yiii Thai Laoo Khmr Mymr Lana Talu Tavt Java Bali".split()
_UNSPACED = "".join(rf"\p{{scx={script}}}" for script in _SCRIPTS)
_CHARACTER = rf"(?:(?=[\p{{L}}\p{{N}}])[{_UNSPACED}]\p{{M}}*)"
_WORD = rf"(?:(?![{_UNSPACED}])[\p{{L}}\p{{N}}\p{{M}}])+"
_WORDS = regex.compile(rf"{_CHARACTER}|{_WORD}|\p{{So}}")
_PIECES = regex.compile(rf"{_CHARACTER}|(?:(?!{_CHARACTER})\S)+")
_LETTERS, _UNSPACED_LETTERS = regex.compile(r"[\p{L}\p{N}]"), regex.compile(_CHARACTER)
_JAPANESE, _HAN = regex.compile(r"[\p{Hira}\p{Kana}]"), regex.compile(r"\p{Han}")
_ARTICLES = regex.compile(r"\b(a|an|the)\b")
_INVISIBLE = regex.compile(r"\p{Cf}")
_SEPARATORS = regex.compile("[\u1361\u0f0b\u0f0c]")
"""Punctuation that some scripts (Ethiopic, Tibetan) have in the place of a space."""
_IN_NUMBER = r"(?<=\p{N})\.(?=\p{N})|(?<![\p{L}\p{N}])-(?=\.?\p{N})"
_PUNCTUATION = regex.compile(rf"(?!{_IN_NUMBER})[\p{{P}}{regex.escape(string.punctuation)}]")
_SPACED_BUT_RARE = 0.1
"""Texts with a smaller share of letters without spaces count as texts with spaces: a name or two in
an English text are no reason to split it otherwise."""


def folded(text: str) -> str:
    """Lower case; full-width letters and digits as the usual ones; one form of composed letters;
    without invisible marks of layout.

    >>> folded("ＡＢ１ Éa")
    'ab1 éa'
    """
    plain = "".join(unicodedata.normalize("NFKC", c) if _has_width(c) else c for c in text.lower())
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", plain))


def _has_width(character: str) -> bool:
    return unicodedata.decomposition(character).startswith(("<wide>", "<narrow>"))


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation.

    >>> words("It's 北京, ไทย naïve!")
    ['it', 's', '北', '京', 'ไ', 'ท', 'ย', 'naïve']
    """
    found: list[str] = _WORDS.findall(folded(text))
    return found


def normalised(text: str) -> str:
    """Lower case, without punctuation of any script, English articles and double spaces: SQuAD's
    rule (Rajpurkar et al. 2016), which knows ASCII only, for every script. Unlike there, numbers
    keep their sign and their point, and a text of which nothing would be left is kept.

    >>> [normalised(text) for text in ("The  cat, a dog!", "一九四九年。", "-1.5.", "+")]
    ['cat dog', '一九四九年', '-1.5', '+']
    """
    plain = _SEPARATORS.sub(" ", folded(text).replace("\N{MINUS SIGN}", "-"))
    bare = _ARTICLES.sub(" ", _PUNCTUATION.sub("", plain))
    return " ".join((bare if bare.strip() else plain).split())


def normalised_words(text: str) -> list[str]:
    """The words of a normalised text: between spaces, and by character where there are none.

    >>> normalised_words("the Peking (北京)")
    ['peking', '北', '京']
    """
    found: list[str] = _PIECES.findall(normalised(text))
    return found


def without_spaces(texts: Iterable[str]) -> str:
    """What texts are written in that need a tokeniser of their own: "ja", "zh", "other" (such as
    Thai), or "" if few of their letters are of scripts without spaces.

    >>> without_spaces(["北京"]), without_spaces(["東京です"]), without_spaces(["ไทย"])
    ('zh', 'ja', 'other')
    >>> without_spaces(["the capital 北京 of China, which is a large country"])
    ''
    """
    whole = "\n".join(texts)
    unspaced = len(_UNSPACED_LETTERS.findall(whole))
    if unspaced <= _SPACED_BUT_RARE * len(_LETTERS.findall(whole)):
        return ""
    if _JAPANESE.search(whole):
        return "ja"
    return "zh" if 2 * len(_HAN.findall(whole)) > unspaced else "other"
