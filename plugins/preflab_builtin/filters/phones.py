"""Finding phone numbers in a text. Numbers are judged by the library phonenumbers, which knows the
numbering plan of every country; a number that may be anything else (a sum, a date, an id) is a
phone number only beside a word that says so. README.md has the precision and the recall that were
measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import phonenumbers

from preflab_builtin.filters.cues import Cue, cues

_NATIONAL = phonenumbers.PhoneNumberFormat.NATIONAL
_DIGITS = range(7, 16)
"""Digits of a phone number: seven for a local one, at most fifteen (ITU-T E.164)."""
_ASCII_DIGITS = b"0123456789"
_MANY_DIGITS = re.compile(r"\d(?:\W{0,3}\d){6}")
"""A text without this holds no phone number: a quick first look."""
_SPACED = r"[^\W\u0e00-\u0e7f\u3040-\u9fff\uac00-\ud7af]"
"""A letter or digit of a script that has spaces between its words."""
_NUMBER = re.compile(
    rf"(?<!{_SPACED})(?<!{_SPACED}[-+(])(?<![+(=/#%&])(?<!=-)(?<!\d[ \-.,/])"
    r"(?:\+\(?|\()?\d(?:[ \u00a0().\-–/]{0,2}\d){6,14}"
    rf"(?!{_SPACED}|[-:]{_SPACED}|[.,]\d|[ .\-/]\d{{3}}|\s*[*+=×%])"
)
"""Digits as near to each other as those of a number are; not in a name, a path or a formula."""
_LOCAL = re.compile(r"\d{3}[-. ]\d{4}")
"""A number without its area, as in North America. The library takes none for valid."""
_WRITTEN = re.compile(
    rf"(?<!{_SPACED})(?<![.,/+*=()-])("
    r"\+\d{1,3}(?:[ \u00a0.\-–/]{0,2}\(?\d{1,10}\)?){1,7}"  # international
    r"|\(\d{2,5}\)[ -]?\d{3,5}[ .-]\d{3,5}"  # area code in brackets
    r"|\d{1,5}([.-])\d{2,5}(?:\2\d{2,5}){1,3}"  # hyphens or dots throughout
    r"|0\d{1,5}(?:[ \u00a0/-]\d{2,8}){1,4}"  # groups after the trunk zero
    rf")(?!{_SPACED}|\)|[.,/-]\d|\s*[*+=×%])"
)
"""Numbers written as hardly anybody writes a sum, a list or an id. The library judges them."""
_PLAIN = 9
"""Digits in one piece that a word does not announce from afar if they are fewer."""
_BINARY = frozenset("01")
_DATE = re.compile(
    r"(?:\d{4}([-./])\d\d?\1\d\d?|\d\d?([-./])\d\d?\2(?:19|20)\d\d"
    r"|(?:1[4-9]|20)\d\d ?[-–/] ?(?:1[4-9]|20)\d\d"
    r"|(?:[01]\d|2[0-4])[0-5]\d-(?:[01]\d|2[0-4])[0-5]\d|\d\d?\.\d+$)"
    r"(?!\d)"
)
"""Days, years from and to, hours from and to, decimals."""
_CODE = re.compile(r"""\d{3}|[][{}=<>|\\"]""")
"""What does not stand between a word and the number that it announces."""
_THOUSANDS = re.compile(r"\d{1,3}(?:[ \u00a0.]\d{3})+")
_MONEY_BEFORE, _MONEY_AFTER = (
    re.compile(r"[$€£¥₹]\s*$"),
    re.compile(r"\s*(?:[€$£¥₹]|(?:eur|usd|euros?|dollars?|kr)\b)", re.IGNORECASE),
)
_RECKONED = re.compile(
    r"(?:what(?: is|'s)|how much is|compute|calculate|evaluate|simplify|solve|subtract|version)"
    r"[\s:]*$|\d\s*$|\([^()a-z]*\)\s*$",
    re.IGNORECASE,
)
"""What stands before a number that is reckoned with."""
_COUNTED = re.compile(
    r"\s+(?!(?:and|or|for|to|if|in|on|at|after|before|until|tomorrow|today|tonight|any|anytime|when|now|"
    r"please|und|oder|bis|et|ou|y|o|e)\b)[^\W\d_]{2}",
    re.IGNORECASE,
)
"""What stands after a number that counts something: 1234567 users."""
_LINKS = re.compile(
    r"(?:[\s.:=,→-]|(?<![^\W\d_])(?:numbers?|num|no|nr|is|was|at|on|to|under|me|us|him|her|them|"
    r"ist|unter|au|est|al|es|é|è|em|för|är|er|на)(?![^\W\d_])|[は是号码:]|이|는|은)*"
)
"""What may stand between a word and the number that it announces."""
_CLAUSE = re.compile(r"\n|[!?;。！？]|(?<=[^\W\d_]{4})\.\s")
"""Where a clause ends: words do not announce numbers beyond. Short words with a dot abbreviate."""
_BEFORE, _AFTER = 60, 40
"""Characters in which a word announces a number that follows, or stands before it."""


def has_phone(text: str, regions: Sequence[str] = ()) -> bool:
    """Does the text hold a phone number: an international one, one in the usual writing of a region
    (two letters, ISO 3166), or one beside a word such as "phone" or "Tel."?

    >>> has_phone("call +49 30 901820"), has_phone("Sort 812 3456 9021 in falling order")
    (True, False)
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) - len(data.translate(None, _ASCII_DIGITS)) < min(_DIGITS):
        return False  # most texts are done with at once
    if not _MANY_DIGITS.search(text):
        return False
    if any(_announced(match, text, regions) for match in _NUMBER.finditer(text)):
        return True
    return any(
        _valid(match[1], regions, usual=True)
        and not _DATE.match(match[1])
        and not _RECKONED.search(text[max(0, match.start() - 20) : match.start()])
        for match in _WRITTEN.finditer(text)
    )


def _announced(number: re.Match[str], text: str, regions: Sequence[str]) -> bool:
    """Does a word beside a number say that it is one of a phone?"""
    digits = re.sub(r"\D", "", number[0])
    before, end = text[max(0, number.start() - _BEFORE) : number.start()], number.end()
    written = number[0].lstrip("(")
    if set(digits) <= _BINARY or _DATE.match(written) or _MONEY_BEFORE.search(before):
        return False
    plain = digits == number[0]
    parted = _THOUSANDS.fullmatch(number[0]) or re.fullmatch(r"\d{3} \d{4}", number[0])
    counts = parted or (plain and len(digits) < 10)
    if (counts and _COUNTED.match(text, end)) or _MONEY_AFTER.match(text, end):
        return False
    clause = _CLAUSE.split(before)[-1]
    for cue in reversed(list(cues(clause))):
        between = clause[cue.at[1] :]
        beside = cue.strong and _LINKS.fullmatch(between)
        if beside and (cue.sure or _LOCAL.fullmatch(number[0])):
            return True
        if not _CODE.search(between) and _fits(number[0], cue, regions, plain):
            return True
    after = _CLAUSE.split(text[end : end + _AFTER])[0]
    found = (cue for cue in cues(after) if cue.strong and not _CODE.search(after[: cue.at[0]]))
    return not plain and any(_fits(number[0], cue, regions, plain) for cue in found)


def _fits(number: str, cue: Cue, regions: Sequence[str], plain: bool) -> bool:
    """Is it a number of a country of the word? After a word that also announces others, in a form
    that is hardly one of them."""
    own = (*regions, *cue.regions)
    if plain and (not cue.strong or len(number) < _PLAIN):
        return False
    if cue.strong:
        return _valid(number, own, usual=False)
    trunk = number.startswith(("0", "+", "("))
    groups = len(re.findall(r"\d+", number))
    return (trunk or groups > 2) and _valid(number, own, usual=not trunk)


def _counts_up(groups: Sequence[str]) -> bool:
    """Are they 1, 2, 3, 4?"""
    numbers = list(map(int, groups))
    return len(numbers) > 3 and all(b - a == 1 for a, b in pairwise(numbers))


def _valid(number: str, regions: Sequence[str], usual: bool) -> bool:
    """Is it a valid number of its country, or of a region? usual: in the groups that are usual
    there."""
    groups = re.findall(r"\d+", number)
    digits = "".join(groups)
    if len(digits) not in _DIGITS or set(digits) <= _BINARY or _counts_up(groups):
        return False
    if sum(len(group) == 1 for group in groups) > 2:
        return False
    for region in (None,) if number.startswith("+") else regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            if region is None or not usual:
                return True
            formatted = re.findall(r"\d+", phonenumbers.format_number(parsed, _NATIONAL))
            if formatted == (groups[1:] if groups[0] == str(parsed.country_code) else groups):
                return True
    return False
