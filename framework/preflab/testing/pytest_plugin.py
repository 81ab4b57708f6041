"""The pytest plugin (entry point group ``pytest11``): fixtures for tests of plugins. Importing it
imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from preflab.testing.case import Case
    from preflab.testing.fast_run import FastRun


@pytest.fixture(scope="class")
def preflab_case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The component that a contract class tries, in a temporary folder."""
    from preflab.testing.case import Case

    missing = [
        name for name in ("kind", "name") if not isinstance(getattr(request.cls, name, None), str)
    ]
    if missing:
        message = (
            f"{request.cls.__name__} is a contract and must say what it tries: {missing[0]} = '...'"
        )
        pytest.fail(message, pytrace=False)
    return Case(request.cls, tmp_path_factory.mktemp("preflab"))


@pytest.fixture
def preflab_run(tmp_path: Path) -> Callable[..., FastRun]:
    """Compose overrides and run them small (debug=fast) in a temporary folder:

    run = preflab_run("algorithm=mine", "algorithm.lr=0.1")
    """
    from preflab.testing.fast_run import fast_run

    return lambda *overrides: fast_run(tmp_path, overrides)
