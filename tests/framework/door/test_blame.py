"""Every kind of component with every fault, in real runs: the plugin, its distribution and
version and the component are named, the exit code is 3 (5 for a number that a step stops at), and
finished steps are kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from framework.faulty_plugins import install
from preflab.composing import search_path

pytestmark = pytest.mark.slow

BARE = (
    *(
        "debug=fast",
        "artifacts.dir=artifacts",
        "runtime.threads=1",
        "checkpoint.every_steps=1",
        "--no-plugin",
        "report",
    ),
    *(
        "trackers=none",
        "pretrain=none",
        "sft=none",
        "comparisons=none",
        "evaluation=none",
        "algorithm=ppo",
    ),
    *(
        "reward_model=length",
        "data.documents=100",
        "data.prompts=50",
        "data.demonstrations=10",
        "policy.layers=1",
    ),
)
PLACES = {
    "policy": ("policy", "policy=breaking"),
    "reward_model": ("reward_model", "reward_model=breaking"),
    "gradient_term": ("algorithm.terms.x", "+schema/gradient_term@algorithm.terms.x=breaking"),
    "reward_shaping": (
        "algorithm.shaping.x",
        "+schema/reward_shaping@algorithm.shaping.x=breaking",
    ),
    # Data without a vocabulary is refused by the plan, before it is asked for anything.
    "data": ("data", "data=breaking policy.tokenizer=bytes"),
    "filter": ("filters.x", "+schema/filter@filters.x=breaking"),
    "transform": ("transforms.x", "+schema/transform@transforms.x=breaking"),
    "labeler": ("labeler", "labeler=breaking comparisons=ranked reward_model=kwise"),
    "evaluator": (
        "evaluation.evaluators.x",
        "evaluation=samples +schema/evaluator@evaluation.evaluators.x=breaking",
    ),
    "rollout": ("rollout", "rollout=breaking"),
    "algorithm": ("algorithm", "algorithm=breaking"),
}
"""By kind: the key of the breaking component, and the words that put it into a run."""
CODES = {"raise": 3, "exit": 3, "none": 3, "nan": 5}
NO_NUMBERS = ("policy", "data", "filter", "transform", "labeler", "rollout", "evaluator")
"""Kinds whose method gives no number that a step could end at."""
SHORT = [
    ("reward_model", "raise"),
    ("reward_model", "exit"),
    ("reward_model", "none"),
    ("algorithm", "exit"),
]
MATRIX = [
    pytest.param(kind, fault, marks=() if (kind, fault) in SHORT else pytest.mark.reliability)
    for kind in PLACES
    for fault in CODES
    if fault != "nan" or kind not in NO_NUMBERS
]


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plugin as a distribution; runs are forked from here and find it on the path."""
    folder = tmp_path_factory.mktemp("lib")
    install(folder, "breaking", Path(__file__).with_name("breaking.py").read_text(encoding="utf8"))
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    search_path.registry.cache_clear()


def _run(folder: Path, kind: str, fault: str) -> tuple[int, str]:
    key, words = PLACES[kind]
    bare = [word for word in BARE if not word.startswith(f"{kind}.")]
    code = preflab(folder, *bare, *words.split(), f"{key}.fault={fault}")
    return code, (folder / "log.txt").read_text()


@pytest.mark.parametrize(("kind", "fault"), MATRIX)
def test_a_component_of_any_kind_that_breaks(kind: str, fault: str, tmp_path: Path) -> None:
    code, log = _run(tmp_path, kind, fault)
    assert code == (3 if (kind, fault) == ("reward_shaping", "nan") else CODES[fault]), log[-3000:]
    assert f"{kind} 'breaking' of plugin 'breaking' (breaking-dist 2.5)" in log
    assert "Traceback" not in log
    if fault in ("raise", "exit"):
        assert {"raise": "raised ValueError: on purpose (", "exit": "raised SystemExit: 0 ("}[
            fault
        ] in log
        assert "breaking.py:" in log
    if kind == "algorithm":  # two of four steps are done, a checkpoint stands behind each
        assert [
            p.name for p in tmp_path.glob("artifacts/algorithm-*.partial/.state/step-*[0-9]")
        ].count("step-000000002") == 1


@pytest.mark.parametrize(
    "place", ["build", "build none", "inspect", "inspect none", "needs", "check", "post_init"]
)
def test_whatever_of_a_component_breaks(place: str, tmp_path: Path) -> None:
    code, log = _run(tmp_path, "reward_model", f"'{place}'")
    assert code == 3, log[-3000:]
    assert "reward_model 'breaking' of plugin 'breaking' (breaking-dist 2.5)" in log
    assert "Traceback" not in log


def test_what_a_failed_step_costs_is_told(tmp_path: Path) -> None:
    _, log = _run(tmp_path, "algorithm", "raise")
    # A checkpoint stands behind each of the two steps that are done.
    assert (
        "The steps up to the last checkpoint are kept, 2 of 2: the same command repeats 0." in log
    )
