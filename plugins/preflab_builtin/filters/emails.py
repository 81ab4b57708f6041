"""Finding e-mail addresses in a text."""

from __future__ import annotations

import re

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
