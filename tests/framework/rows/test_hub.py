"""Sets on the hub, with a `datasets` that stands in for the real one."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.rows import hub, path_digest, read_rows


def _hub(
    monkeypatch: pytest.MonkeyPatch, sets: Mapping[Any, list[dict[str, str]]]
) -> list[dict[str, str | None]]:
    """A hub with some sets, by id, config and split, in place of `datasets`; what else it was asked
    for."""
    asked: list[dict[str, str | None]] = []

    def load_dataset(*names: str, split: str, revision: str | None) -> list[dict[str, str]]:
        asked.append({"split": split, "revision": revision})
        if (*names, split) not in sets:
            raise ConnectionError(f"Couldn't reach '{names[0]}'\non the Hub")
        return sets[(*names, split)]

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    hub._loaded.cache_clear()
    hub.hub_digest.cache_clear()
    return asked


def _prompts(address: str) -> list[Any]:
    return [row.values["prompt"] for row in read_rows(Path(address))]


def test_a_set_on_the_hub_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    asked = _hub(monkeypatch, {("who/what", "train"): rows, ("who/what", "hard", "test"): rows[1:]})
    assert _prompts("hub://who/what/train") == _prompts("hub://who/what/train") == ["a", "b"]
    assert _prompts("hub://who/what@abc123/hard/test") == ["b"]
    # each set was loaded once
    assert asked == [{"split": "train", "revision": None}, {"split": "test", "revision": "abc123"}]
    (row, _) = read_rows(Path("hub://who/what/train"))
    assert row.place == "hub://who/what/train:row 1"


def test_the_digest_is_that_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    other = {("who/what", "test"): rows[1:], ("x/y", "train"): rows}
    _hub(monkeypatch, {("who/what", "train"): rows, **other})
    first, second, same = (
        path_digest(Path(f"hub://{name}"))
        for name in ("who/what/train", "who/what/test", "x/y/train")
    )
    assert first == same != second
    _hub(monkeypatch, {("who/what", "train"): [*rows, {"prompt": "c"}]})
    assert path_digest(Path("hub://who/what/train")) != first


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "hub://who/absent/train",
            r"hub://who/absent/train: datasets cannot load it: Couldn't reach 'who/absent' on the "
            r"Hub\. Without network, .*save_to_disk",
        ),
        (
            "hub://squad/train",
            r"hub://squad/train: is not a set on the hub\. Allowed: hub://OWNER/NAME/SPLIT",
        ),
    ],
)
def test_a_set_that_cannot_be_loaded_says_what_to_do(
    address: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hub(monkeypatch, {})
    with pytest.raises(UserError, match=expected):
        list(read_rows(Path(address)))


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, {})
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it fails
    expected = r"hub://who/what/test: a set on the hub needs datasets.*'preflab\[datasets\]'"
    with pytest.raises(UserError, match=expected):
        list(read_rows(Path("hub://who/what/test")))
