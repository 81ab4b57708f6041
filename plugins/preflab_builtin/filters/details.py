"""Finding e-mail addresses and phone numbers in a text. Numbers are judged by the library
phonenumbers, which knows the numbering plan of every country; a number that may be anything else (a
sum, a date, an id) is a phone number only after a word that says so. README.md has the precision
and the recall that were measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

import phonenumbers

EMAIL = re.compile(
    r"(?<![\w.+@/-])[\w.+'-]{1,64}@([\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24})(?![\w@-]|:\w)"
)
"""An address; its group is the domain."""
_FILES = frozenset(("png", "jpg", "jpeg", "gif", "webp", "svg", "html", "css", "js", "py"))
"""Endings of file names that look like domains: img@2x.png."""
_NOBODYS = re.compile(
    r"(?:.*\.)?(?:example\.(?:com|net|org)|.*\.(?:test|example|invalid|localhost))", re.IGNORECASE
)
"""Domains that belong to nobody: they are reserved for examples and tests (RFC 2606)."""
_NATIONAL = phonenumbers.PhoneNumberFormat.NATIONAL
_DIGITS = range(7, 16)
"""Digits of a phone number: seven for a local one, at most fifteen (ITU-T E.164)."""
_ASCII_DIGITS = b"0123456789"
_MANY_DIGITS = re.compile(r"\d(?:\W{0,3}\d){6}")
"""A text without this holds no phone number: a quick first look."""
_CUES = (
    r"(?:tele)?phone(?: (?:number|no\.?))?|tel(?:ef?on(?:e|o|nummer)?)?|tlf|fax|mobile|cell|"
    r"whats ?app|hotline|gsm|(?:my|our|his|her|their|phone) number|"
    r"(?:call|ring|dial|text|reach|phone)(?: (?:me|us|him|her|them))?|"
    r"handy(?:nummer)?|rufnummer|unter|téléphone|portable|appelez[- ]moi|"
    r"teléfono|móvil|celular|cellulare|ll[aá]m[ae](?:me|nos)|bel ons|"
    r"телефон|тел|電話(?:番号)?|电话(?:号码)?|手机(?:号)?|携帯|전화(?:번호)?"
)
_LINKS = r"number|num|no|nr|is|was|at|on|to|under|ist|unter|au|est|al|es|é|è|em|för|は|是|号码|号"
_CUE = re.compile(
    rf"(?:(?<![^\W\d_])(?:{_CUES})|[電电][話话]|手机|携帯|전화)"
    rf"(?:[\s.:=,→-]|(?<![^\W\d_])(?:{_LINKS})(?![^\W\d_])|[は是])*$",
    re.IGNORECASE,
)
"""A word that announces a phone number, at the end of what stands before it."""
_NUMBER = re.compile(
    r"\+?\(?(?<![\d.,])\d(?:[ \u00a0().\-–/]{0,2}\d){6,14}(?![\w]|[.,]\d|\s*[*+=×%])"
)
_BINARY = frozenset("01")
_WRITTEN = re.compile(
    r"(?<![\w.,/+*=()-])("
    r"\+\d{1,3}(?:[ \u00a0.\-–/]{0,2}\(?\d{1,10}\)?){1,7}"  # international
    r"|\(\d{2,5}\)[ -]?\d{3,5}[ .-]\d{3,5}"  # area code in brackets
    r"|\d{1,5}([.-])\d{2,5}(?:\2\d{2,5}){1,3}"  # hyphens or dots throughout
    r"|0\d{1,5}(?:[ \u00a0/-]\d{2,8}){1,4}"  # groups after the trunk zero
    r")(?![\w)]|[.,/-]\d|\s*[*+=×%])"
)
"""Numbers written as hardly anybody writes a sum, a list or an id. The library judges them."""
_RECKONED = re.compile(
    r"(?:what(?: is|'s)|how much is|compute|calculate|evaluate|simplify|solve|subtract|version"
    r"|[\d)])[\s:]*$",
    re.IGNORECASE,
)
"""What stands before a number that is reckoned with."""
_COUNTED = re.compile(
    r"\s+(?!(?:and|or|for|to|if|in|on|at|after|before|until|tomorrow|today|tonight|any|anytime|when|now|"
    r"please|und|oder|bis|et|ou|y|o|e)\b)[^\W\d_]{2}",
    re.IGNORECASE,
)
"""What stands after a number that counts something: 1234567 users."""


def has_email(text: str, reserved: bool = False) -> bool:
    """Does the text hold an e-mail address? reserved: also one at a domain that belongs to nobody.

    >>> has_email("write to a.b@mail.org."), has_email("a @ b, img@2x.png, ann@example.com")
    (True, False)
    """
    if "@" not in text:
        return False
    domains = (match[1] for match in EMAIL.finditer(text))
    return any(
        domain.rpartition(".")[2].lower() not in _FILES
        and (reserved or not _NOBODYS.fullmatch(domain))
        for domain in domains
    )


def has_phone(text: str, regions: Sequence[str] = ()) -> bool:
    """Does the text hold a phone number: an international one, one in the usual writing of a region
    (two letters, ISO 3166), or any after a word such as "phone" or "Tel."?

    >>> has_phone("call +49 30 901820"), has_phone("Sort 812 3456 9021 in falling order")
    (True, False)
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) - len(data.translate(None, _ASCII_DIGITS)) < min(_DIGITS):
        return False  # most texts are done with at once
    if not _MANY_DIGITS.search(text):
        return False
    if any(_announced(match, text) for match in _NUMBER.finditer(text)):
        return True
    return any(
        _valid(match[1], regions)
        and not _RECKONED.search(text[max(0, match.start() - 20) : match.start()])
        for match in _WRITTEN.finditer(text)
    )


def _announced(number: re.Match[str], text: str) -> bool:
    """Does a cue stand before a number? One in one piece may then still count something."""
    if not _CUE.search(text[max(0, number.start() - 40) : number.start()]):
        return False
    digits = re.sub(r"\D", "", number[0])
    plain = digits == number[0] and len(digits) < 10
    return not (set(digits) <= _BINARY or (plain and _COUNTED.match(text, number.end())))


def _valid(number: str, regions: Sequence[str]) -> bool:
    """Is it a valid number of its country, or of a region, in the groups that are usual there?"""
    groups = re.findall(r"\d+", number)
    digits = "".join(groups)
    if len(digits) not in _DIGITS or set(digits) <= _BINARY:
        return False
    for region in (None,) if number.startswith("+") else regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            usual = re.findall(r"\d+", phonenumbers.format_number(parsed, _NATIONAL))
            own = groups[1:] if groups[0] == str(parsed.country_code) else groups
            if region is None or own == usual:
                return True
    return False
