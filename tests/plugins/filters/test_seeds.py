"""Seeds of filters and data sources: each is in the recipe once, and the run's seed moves none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.planning.reading import read


def _recipe(*words: str) -> Mapping[str, Any]:
    """What determines SFT's result, which reads demonstrations through the filters."""
    config: Any = OmegaConf.to_container(compose(list(words)), resolve=True)
    stage = read(config, registry()).stage("sft")
    assert stage is not None
    return stage.recipe


def _differences(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Places where two recipes differ."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted({*first, *second}):
            yield from _differences(first.get(key), second.get(key), f"{place}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            yield from _differences(a, b, f"{place}.{i}")
    elif first != second:
        yield place.removeprefix(".")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("filters.split.seed=1", "filters.0.config.seed"),
        ("filters.cap.seed=1", "filters.2.config.seed"),
        ("transforms.control.seed=1", "transforms.0.config.seed"),
        ("demonstrations.seed=1", "data.demonstrations.config.seed"),
    ],
)
def test_a_seed_is_in_the_recipe_once(word: str, place: str) -> None:
    usual = (
        *("pretrain=none", "filters=instructgpt", "transforms=control_tokens"),
        "demonstrations=task_demonstrations",
    )
    assert list(_differences(_recipe(*usual), _recipe(*usual, word))) == [place]


def test_the_seed_of_a_source_in_front_of_two_stages_moves_both() -> None:
    places = list(_differences(_recipe(), _recipe("data.seed=1")))
    types = ("data", "demonstrations", "documents")
    assert places == [*(f"data.{name}.config.seed" for name in types), "uses.pretrain"]


def test_the_runs_seed_moves_no_filter_and_no_source() -> None:
    places = list(_differences(_recipe("pretrain=none"), _recipe("pretrain=none", "seed=2")))
    assert places == ["seed"]
