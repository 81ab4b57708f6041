"""Files that Git LFS has not fetched are told from data by their first bytes."""

from __future__ import annotations

import pytest

from preflab.errors import UserError
from preflab.rows.pointers import POINTER, check_fetched


def test_a_pointer_is_refused_with_the_cure() -> None:
    with pytest.raises(UserError, match=r"^a\.bin: is a pointer of Git LFS.* git lfs pull"):
        check_fetched("a.bin", POINTER + b".github.com/spec/v1")
    check_fetched("a.bin", b"")
    check_fetched("a.bin", POINTER[:-1])
    check_fetched("a.bin", b" " + POINTER)
