"""What is composed of kept configs is what Hydra's own loader composes, and follows every edit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core import utils
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.base import Node

from preflab.composing import search_path
from preflab.composing.compose import compose
from preflab.composing.loading import KEPT, SharingLoader
from preflab.composing.search_path import groups_of_a_run, options_of, sweeps_root
from preflab.errors import UserError


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    KEPT.clear()
    yield
    KEPT.clear()


@pytest.mark.parametrize(
    "name, words",
    [
        ("ladder", ()),
        ("config", ("algorithm=ppo_ptx",)),
        ("config", ("experiment=smollm2_ukp",)),
        ("config", ("+watch=gold",)),
        ("config", ("hydra/launcher=joblib",)),
        ("config", ("algorithm=nope",)),
    ],
)
def test_kept_or_not_the_config_is_hydras(
    name: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value, type, flag and parent of each node, Hydra's own part included."""
    made = [_composed(name, words) for _ in range(2)]
    assert len(KEPT) > 1
    monkeypatch.setattr(search_path, "SharingLoader", ConfigLoaderImpl)
    assert made == [_composed(name, words)] * 2


@pytest.mark.reliability
def test_every_study_and_every_choice_is_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    studies = [(path.stem, ()) for path in sorted(sweeps_root().glob("*.yaml"))]
    choices = [
        ("config", (f"{plus}{group}={name}",))
        for group, names in options_of([*groups_of_a_run(), "hydra/launcher"]).items()
        for name in names
        for plus in ("", "+")
    ]
    for name, words in [*studies, *choices]:
        with monkeypatch.context() as patched:
            test_kept_or_not_the_config_is_hydras(name, words, patched)


def _composed(name: str, words: Sequence[str]) -> list[Any] | str:
    try:
        return list(_facts(compose([*words, "seed=3"], name, with_hydra=True)))
    except UserError as error:
        return str(error)


def _facts(node: Node, key: str = "") -> Iterator[Any]:
    facts = {name: fact for name, fact in vars(node._metadata).items() if name != "resolver_cache"}
    yield key, type(node), facts, getattr(node._metadata, "resolver_cache", {}).keys()
    content = node.__dict__.get("_content")
    inner: Any = ()
    if isinstance(node, DictConfig) and isinstance(content, dict):
        inner = content.items()
    elif isinstance(node, ListConfig) and isinstance(content, list):
        inner = enumerate(content)
    else:
        yield type(node._value()), repr(node._value())
    for name, child in inner:
        assert child._get_parent() is node
        yield from _facts(child, f"{key}.{name}")


def test_a_study_is_read_and_merged_once_for_all_its_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compose(["seed=1"], "ladder")
    read: list[object] = []
    for name in ("load", "structured"):
        monkeypatch.setattr(OmegaConf, name, read.append)
    monkeypatch.setattr(DictConfig, "merge_with", lambda *_: read.append("merged"))
    assert compose(["seed=2"], "ladder").seed == 2
    assert not read


def test_an_edited_file_is_read_again_whatever_its_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    mine, policy = tmp_path / "mine.yaml", tmp_path / "policy" / "wide.yaml"
    mine.write_text("defaults: [config, {override policy: wide}, _self_]\nseed: 1\n")
    policy.write_text("defaults: [/schema/policy/tiny@_here_, _self_]\nlayers: 1\n")
    for file, old, new in ((mine, "seed: 1", "seed: 7"), (policy, "layers: 1", "layers: 5")):
        before = compose([], "mine", config_dir=str(tmp_path))
        stat = file.stat()
        file.write_text(file.read_text().replace(old, new))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        after = compose([], "mine", config_dir=str(tmp_path))
        assert before != after
    assert (after.seed, after.policy.layers) == (7, 5)
    policy.rename(tmp_path / "elsewhere.yaml")
    with pytest.raises(UserError, match="There is no policy 'wide'"):
        compose([], "mine", config_dir=str(tmp_path))


def test_a_file_that_breaks_is_refused_as_hydra_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("defaults: [config, _self_]\nseed: 1\n")
    compose([], "mine", config_dir=str(tmp_path))
    mine.write_text("defaults: [config, _self_]\nseed: [1\n")
    said = []
    for loader in (SharingLoader, ConfigLoaderImpl):
        monkeypatch.setattr(search_path, "SharingLoader", loader)
        with pytest.raises(Exception, match=r"mine\.yaml\", line 3") as caught:
            compose([], "mine", config_dir=str(tmp_path))
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_time_in_the_name_of_a_folder_is_that_of_each_composition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hydra's own default folder is resolved while ours takes its place."""
    asked = "hydra.run.dir='runs/${now:%Y-%m-%d}/${now:%H-%M-%S}'"
    configs = []
    for day in (1, 2, 3):
        monkeypatch.setattr(utils, "datetime", SimpleNamespace(now=partial(datetime, 2026, 5, day)))
        configs.append(compose([asked], with_hydra=True))
    folders = [config.hydra.run.dir for config in configs]
    assert folders == [f"runs/2026-05-0{day}/00-00-00" for day in (1, 2, 3)]


def test_one_config_at_two_places_is_two_lists() -> None:
    for name in ("soft", "hard"):
        config = compose([f"+reward_shaping@algorithm.shaping.{name}=soft_clip"])
        assert list(config.algorithm.shaping) == [name]


def test_a_change_of_what_was_composed_stays_with_who_made_it() -> None:
    for _ in range(2):
        config = compose(["algorithm=ppo"])
        assert config.algorithm.name == "ppo"
        config.algorithm.name = "other"
        config.algorithm = None


def test_a_defaults_list_may_refer_to_a_choice(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    file = tmp_path / "sft" / "for_tiny.yaml"
    file.write_text("defaults: [/schema/sft/demonstrations@_here_, _self_]\nepochs: 7\n")
    text = "defaults: [config, 'sft/for_${policy}', _self_]\n"
    (tmp_path / "mine.yaml").write_text(text)
    make = defaults_list._create_interpolation_map
    assert compose([], "mine", config_dir=str(tmp_path)).sft.epochs == 7
    assert defaults_list._create_interpolation_map is make


@dataclass
class Mine:
    seed: int = 0
    size: int = 0


def test_a_schema_that_is_stored_later_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra checks a config by the schema of the same name in its store, as it warns."""
    (tmp_path / "mine.yaml").write_text("seed: 1\nsize: many\n")
    assert compose([], "mine", config_dir=str(tmp_path)).size == "many"
    monkeypatch.setattr(ConfigStore.instance(), "repo", dict(ConfigStore.instance().repo))
    ConfigStore.instance().store("mine", Mine)
    with (
        pytest.warns(UserWarning, match="validated against ConfigStore schema"),
        pytest.raises(UserError, match="many"),
    ):
        compose([], "mine", config_dir=str(tmp_path))
