"""A plain function is enough for a reward, and what it returns wrongly is named by file, function
and line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import preflab
from preflab.composing import search_path
from preflab.door import discovery
from preflab.errors import PluginError
from preflab.interfaces import RewardModel
from preflab.planning.code import source_digest
from preflab.records import Prompt, Rollout
from preflab.testing import FakeContext, FastRun, RewardModelContract

FILE = '''import preflab


@preflab.reward
def short(prompt: str, response: str) -> float:
    """Minus the number of words."""
    return -len(response.split())


@preflab.reward
def like_the_prompt(prompts, responses):
    return [len(set(p.split()) & set(r.split())) for p, r in zip(prompts, responses)]
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A user's file, loaded as --plugin FILE does."""
    path = tmp_path_factory.mktemp("user") / "my_rewards.py"
    path.write_text(FILE)
    before = os.environ.get(discovery.FILES)
    os.environ[discovery.FILES] = str(path)
    search_path.registry.cache_clear()
    yield path
    os.environ.pop(discovery.FILES)
    if before is not None:
        os.environ[discovery.FILES] = before
    search_path.registry.cache_clear()


def _model(function: Callable[..., Any], folder: Path) -> tuple[RewardModel, Rollout]:
    component = preflab.reward(function).preflab_component  # type: ignore[attr-defined]
    context = FakeContext(folder)
    prompts = [Prompt("1", "one two"), Prompt("2", "red")]
    return component.build(component.config_class(), context), Rollout.from_texts(
        context.tokenizer, prompts, ["two good", "bad"]
    )


@pytest.mark.usefixtures("file")
class TestSampleFunction(RewardModelContract):
    name = "short"


@pytest.mark.usefixtures("file")
class TestBatchFunction(RewardModelContract):
    name = "like_the_prompt"


def test_a_function_scores_texts(tmp_path: Path) -> None:
    def reward(prompt: str, response: str) -> float:
        return 10 * len(prompt.split()) + len(response.split())

    def rewards(prompts: Sequence[str], responses: Sequence[str]) -> torch.Tensor:
        return torch.tensor([reward(p, r) for p, r in zip(prompts, responses, strict=True)])

    for function in (reward, rewards):
        model, rollout = _model(function, tmp_path)
        # "one two" + "two good": 10 * 2 + 2; "red" + "bad": 10 * 1 + 1
        assert model.score(rollout).tolist() == [22.0, 11.0]
    assert reward("a", "b") == 11  # still a plain function


def test_the_docstring_is_the_components(file: Path) -> None:
    component = search_path.registry().component("reward_model", "short")
    assert component.config_class.__doc__ == "Minus the number of words."
    assert search_path.registry().provider("reward_model", "short").distribution == "file"


@pytest.mark.parametrize(
    "returned,message",
    [
        (
            float("nan"),
            "returned nan for the prompt 'one two' and the response 'two good': a reward must be "
            "finite",
        ),
        (float("inf"), "a reward must be finite"),
        (None, "returned None, which is not a number"),
        ("1.0", "returned '1.0', which is not a number"),
        (torch.ones(2), "not a single number"),
    ],
)
def test_a_value_that_is_not_a_number_is_named(tmp_path: Path, returned: Any, message: str) -> None:
    def broken(prompt: str, response: str) -> Any:
        return returned

    model, rollout = _model(broken, tmp_path)
    with pytest.raises(
        PluginError, match=r"test_rewards\.py:\d+: the reward function broken "
    ) as caught:
        model.score(rollout)
    assert message in str(caught.value)
    line = int(str(caught.value).split(".py:")[1].split(":")[0])
    assert Path(__file__).read_text().splitlines()[line - 1].strip().startswith("def broken(")


def test_another_number_of_rewards_is_named(tmp_path: Path) -> None:
    def one(prompts: Sequence[str], responses: Sequence[str]) -> Any:
        return [1.0]

    def none(prompts: Sequence[str], responses: Sequence[str]) -> Any:
        return 1.0

    for function, message in (
        (one, "returned 1 rewards for 2 responses"),
        (none, "returned 1.0, which is not a list of numbers"),
    ):
        model, rollout = _model(function, tmp_path)
        with pytest.raises(PluginError, match=message):
            model.score(rollout)


def test_an_exception_is_named_with_its_line_and_its_input(tmp_path: Path) -> None:
    def fails(prompt: str, response: str) -> float:
        return 1 / (len(response.split()) - 1)

    model, rollout = _model(fails, tmp_path)
    with pytest.raises(
        PluginError,
        match=r"raised ZeroDivisionError: .* in line \d+ for the prompt 'red' and the response ",
    ):
        model.score(rollout)


def test_other_parameters_are_refused_where_they_stand() -> None:
    def wrong(text: str) -> float:
        return 0.0

    with pytest.raises(
        PluginError,
        match=r"test_rewards\.py:\d+: .* wrong\(prompt, response\) or .*, not wrong\(text\)",
    ):
        preflab.reward(wrong)


def test_a_function_of_another_module_is_not_registered_again(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.py"
    other.write_text("from preflab.door.plugin_files.my_rewards import short\n")
    monkeypatch.setenv(discovery.FILES, f"{file}{os.pathsep}{other}")
    loaded = discovery.load()
    assert [p.problem for p in loaded.plugins if p.name == "other"] == [""]
    assert loaded.provider("reward_model", "short").name == "my_rewards"


def test_a_package_may_keep_its_functions_in_a_submodule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "kept_rewards"
    (tmp_path / "kept_rewards-1.0.dist-info").mkdir(parents=True)
    package.mkdir()
    metadata = tmp_path / "kept_rewards-1.0.dist-info"
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kept-rewards\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[preflab]\nkept_rewards = kept_rewards\n")
    (package / "__init__.py").write_text("from kept_rewards.functions import short\n")
    (package / "functions.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(discovery.FILES, raising=False)  # `file` has a reward of that name
    provider = discovery.load().provider("reward_model", "short")
    assert (provider.distribution, provider.version) == ("kept-rewards", "1.0")


def test_an_edited_file_is_another_recipe(tmp_path: Path) -> None:
    path = tmp_path / "rewards.py"
    digests = set()
    for text in (FILE, FILE.replace("-len", "len")):
        path.write_text(text)
        source_digest.__globals__["_source_digest"].cache_clear()
        digests.add(source_digest([str(path)], []))
    assert len(digests) == 2


@pytest.mark.slow
def test_ppo_trains_on_a_function(file: Path, preflab_run: Callable[..., FastRun]) -> None:
    run = preflab_run(
        "reward_model=short", "algorithm=ppo", "evaluation=samples", "pretrain=none", "sft=none"
    )
    assert list(run.stages) == ["algorithm", "evaluation"]
    # Responses have 1 to 8 tokens (debug=fast), so at most 8 words.
    assert all(-8 <= row["objective/scores"] <= 0 for row in run.metrics("algorithm"))
    assert -8 <= run.measures["reward/proxy"]["value"] <= 0
