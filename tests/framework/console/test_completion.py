"""What the tab key offers."""

from __future__ import annotations

import pytest

from preflab.console.cli import main
from preflab.console.completion import own_answers, without_command

OFFERED = {
    "preflab pl": {"plan", "plugins"},
    "preflab -cn lad": {"ladder"},
    "preflab plan runtime.precision=": {"runtime.precision=float32", "runtime.precision=bfloat16"},
    "preflab seed=": set(),
}


@pytest.mark.parametrize("line", OFFERED)
def test_commands_studies_and_enum_values(line: str) -> None:
    assert set(own_answers(line)) == OFFERED[line]


def test_hydra_sees_no_command() -> None:
    assert without_command("preflab plan algor") == "preflab algor"
    assert without_command("preflab algorithm=p") == "preflab algorithm=p"


@pytest.mark.parametrize("line", ["preflab plan algor", "preflab --nonsense algor", "preflab plan"])
def test_nothing_but_answers_is_written(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setattr("sys.argv", ["preflab"])
    with pytest.raises(SystemExit) as ended:
        main(["-sc", "query=bash"])
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (0, "")
    if line == "preflab plan algor":
        assert "algorithm=" in said.out.split()
