"""Which plugin makes the report: the first that returns a text. One that fails is named."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from framework.faulty_plugins import registered, written_hook
from preflab.door import discovery, watching
from preflab.door.registry import Registry
from preflab.errors import PluginError, UserError

OTHER = written_hook("preflab_report", "folders, out", "return f'{folders} to {out}'")
REPORTS = {
    "raise ValueError('full')": "raised in preflab_report: ValueError: full",
    "raise SystemExit(3)": "raised in preflab_report: SystemExit: 3",
    "raise BaseException('odd')": "raised in preflab_report: BaseException: odd",
    "open('/nowhere/at/all')": "raised in preflab_report: FileNotFoundError",
    "return 3": "returned 3 from preflab_report, which must be a text",
    "return float('nan')": "returned nan from preflab_report",
}


@pytest.mark.parametrize("body", [*REPORTS, "return None"])
def test_a_report_that_fails_leaves_it_to_the_next(body: str) -> None:
    registry = Registry()
    registered(registry, "faulty", written_hook("preflab_report", "", body))
    registered(registry, "other", OTHER)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text = registry.report([Path("a")], Path("b"))
    assert text == f"{[Path('a')]} to b\n(This report is by plugin 'other' (other-dist 2.5).)"
    messages = [str(warning.message) for warning in caught]
    label = "plugin 'faulty' (faulty-dist 2.5)"
    expected = [] if body == "return None" else [f"{label} {REPORTS[body]}"]
    assert len(messages) == len(expected)
    assert all(map(str.startswith, messages, expected))


def test_a_report_that_takes_long_is_no_hook_that_hangs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "SLOW_SECONDS", 0.01)
    registry = Registry()
    body = "import time; time.sleep(0.1); return 'the page'"
    registered(registry, "slow", written_hook("preflab_report", "", body))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.report([], Path()).startswith("the page")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("order", ["", "(tryfirst=True)", "(trylast=True)"])
def test_the_built_in_report_is_not_replaced(order: str, tmp_path: Path) -> None:
    registry = discovery.load()
    registered(registry, "other", OTHER.replace("@hookimpl", f"@hookimpl{order}"))
    with pytest.raises(UserError):  # of the built-in one: there are no runs in an empty folder
        registry.report([tmp_path], tmp_path / "page.html")


def test_a_report_that_fails_and_is_the_only_one() -> None:
    registry = Registry()
    registered(registry, "faulty", written_hook("preflab_report", "", "raise ValueError('full')"))
    with pytest.raises(PluginError, match=r"^plugin 'faulty' .* preflab_report: ValueError: full"):
        registry.report([], Path())


@pytest.mark.parametrize(
    "error,kind",
    [
        ("KeyboardInterrupt", KeyboardInterrupt),
        ("UserError('no run folder')", UserError),
        ("OSError(28, 'full')", OSError),
    ],
)
def test_errors_of_the_runs_and_of_the_disk_are_raised(
    error: str, kind: type[BaseException]
) -> None:
    registry = Registry()
    body = f"from preflab import UserError; raise {error}"
    registered(registry, "faulty", written_hook("preflab_report", "", body))
    with pytest.raises(kind):
        registry.report([], Path())
