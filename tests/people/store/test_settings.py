"""Settings go through JSON."""

from __future__ import annotations

import json

import pytest

from people.store.rounds import settings
from preflab_people.store import RoundSettings, Screening, settings_from_json, settings_to_json


@pytest.mark.parametrize(
    "made",
    [
        RoundSettings("spring", "demonstrate"),
        settings(likert=True, languages=("en", "ar"), consent="Text"),
        settings(screening=Screening(tasks=4, cut=0.6, tries=1), skip_reasons=("why not",)),
    ],
)
def test_settings_go_through_json_unchanged(made: RoundSettings) -> None:
    assert settings_from_json(json.loads(json.dumps(settings_to_json(made)))) == made
