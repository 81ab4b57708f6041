"""Frozen networks are away only while weights are updated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab.offload import Offload
from tiny_on_policy import tiny


def test_after_an_update_they_are_there_for_whoever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who are shown the samples, a judgement, and what comes after the last iteration; also
    if the update has failed, whose batch is kept."""
    seen: list[str] = []

    def noted(word: str) -> Any:
        def called(*given: Any) -> dict[str, float]:
            seen.append(word)
            return {}

        return called

    monkeypatch.setattr(Offload, "leave", noted("leave"))
    monkeypatch.setattr(Offload, "come", noted("come"))
    procedure = tiny("group", tmp_path)
    monkeypatch.setattr(procedure.context, "rollout_finished", noted("shown"))
    monkeypatch.setattr(procedure.keeping.watch, "is_due", lambda done: True)
    monkeypatch.setattr(procedure.keeping, "after", noted("judged"))
    monkeypatch.setattr(procedure, "_update", noted("update"))
    procedure.step(0)
    assert seen == ["leave", "update", "come", "shown", "judged"]

    def fail(*given: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(procedure, "_update", fail)
    seen.clear()
    with pytest.raises(RuntimeError, match="no memory"):
        procedure.step(1)
    assert seen == ["leave", "come"]
