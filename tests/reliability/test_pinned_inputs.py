"""A stage resumes only with the reference and reward model that it began with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preflab import StorageError
from preflab.storage import checkpoints
from preflab.storage.artifacts import STATE
from reliability.injection import forked
from reliability.walk import RECIPE, STAGE, contents, make

PINS = {"recipe": RECIPE, "sft": "1" * 64, "reward_model": "2" * 64}


def _stopped(root: Path, **settings: Any) -> Path:
    """A stage that was ended after its checkpoint of step 2; the folder of its checkpoints."""

    def stop() -> None:
        real = checkpoints.save

        def save(*arguments: Any) -> Path:
            saved = real(*arguments)
            if arguments[1] == 2:
                os._exit(9)
            return saved

        checkpoints.save = save  # type: ignore[assignment]
        make(root, **settings)

    assert forked(stop) == 9
    return root / f"{STAGE}-{RECIPE[:16]}.partial" / STATE


def test_a_checkpoint_names_what_the_stage_is_made_from(tmp_path: Path) -> None:
    state = _stopped(tmp_path, pins=PINS, circumstances={"threads": 1})
    facts = checkpoints.facts(state / "step-000000002")
    assert facts["pins"] == PINS
    assert facts["circumstances"] == {"threads": 1}


@pytest.mark.parametrize(
    "now,name",
    [
        ({**PINS, "sft": "3" * 64}, "sft"),  # the KL reference
        ({**PINS, "reward_model": "3" * 64}, "reward_model"),
        ({**PINS, "recipe": "b" * 64}, "recipe"),
        ({key: PINS[key] for key in ("recipe", "sft")}, "reward_model"),
        ({**PINS, "select": "3" * 64}, "select"),
    ],
)
def test_going_on_with_another_input_is_refused(
    tmp_path: Path, now: Mapping[str, str], name: str
) -> None:
    _stopped(tmp_path, pins=PINS)
    before = contents(tmp_path)
    with pytest.raises(StorageError, match=f"step-000000002 was made with another {name} "):
        make(tmp_path, pins=now)
    assert contents(tmp_path) == before  # nothing was touched: with the old input it resumes
    make(tmp_path, pins=PINS)


def test_other_threads_are_told_and_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _stopped(tmp_path, circumstances={"threads": 1, "torch": "2.13.0"})
    make(tmp_path, circumstances={"threads": 2, "torch": "2.13.0"})
    said = capfd.readouterr().err
    assert (
        "step-000000002 of sft was saved with threads 1 (now 2); the last bits may differ" in said
    )
    assert "torch" not in said
