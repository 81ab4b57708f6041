"""A third-party distribution next to our wheel: installed, listed, run, killed and resumed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from end_to_end.runs import KILLER, UNSEEN

pytestmark = pytest.mark.packaging
ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "third_party"
FAST = ("debug=fast", "artifacts.dir=artifacts", "checkpoint.every_steps=1", "runtime.threads=1")
SLIC = ("algorithm=slic", "reward_model=bag_of_words", *FAST)
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
KINDS = ("algorithm", "data", "evaluator", "gradient_term", "reward_model", "tracker")
Call = Callable[..., str]
Several = Callable[..., list[str]]


@pytest.fixture(scope="module")
def pip(binaries: Path) -> list[str | Path]:
    """pip install, in the clean environment."""
    return [
        binaries / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        ROOT / "constraints.txt",
    ]


@pytest.fixture(scope="module")
def preflab(
    binaries: Path,
    pip: list[str | Path],
    backend: Sequence[str],
    call: Call,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The command, with the third-party distribution's wheel installed."""
    folder = tmp_path_factory.mktemp("third_party")
    wheel = folder / call([*backend, "build_wheel", folder], THIRD_PARTY).strip().splitlines()[-1]
    call([*pip, f"preflab-pairs[test] @ {wheel.as_uri()}"], folder)
    return binaries / "preflab"


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of all files of all artifacts, except those that hold times."""
    files = [
        p for p in sorted((folder / "artifacts").rglob("*")) if p.is_file() and p.suffix != ".lock"
    ]
    results = [p for p in files if p.name not in ("artifact.json", "metrics.jsonl")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in results}


def _summaries(folder: Path) -> list[dict[str, list[str]]]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("runs/**/summary.json"))]


def test_it_is_not_importable_from_the_checkout() -> None:
    assert importlib.util.find_spec("preflab_pairs") is None


def test_it_is_listed_with_its_distribution_and_version(
    preflab: Path, call: Call, tmp_path: Path
) -> None:
    (row,) = (
        p
        for p in json.loads(call([preflab, "plugins", "--json"], tmp_path))
        if p["name"] == "pairs"
    )
    assert (row["distribution"], row["version"], row["status"]) == ("preflab-pairs", "0.2.0", "ok")
    assert [(c["kind"], c["name"]) for c in row["components"]] == [
        ("algorithm", "slic"),
        ("algorithm", "online_slic"),
        ("reward_model", "bag_of_words"),
        ("average", "weights"),
    ]
    shown = call([preflab, "--help"], tmp_path)
    assert re.search(r"algorithm: .*\bslic\b", shown)
    assert re.search(r"reward_model: .*\bbag_of_words\b", shown)


def test_it_passes_the_contracts(preflab: Path, call: Call, tmp_path: Path) -> None:
    # Its own tests, copied out of the checkout; the fixtures come from the wheel's entry point.
    for path in (THIRD_PARTY / "tests").glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    words = [
        preflab.parent / "python",
        "-m",
        "pytest",
        "-q",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        tmp_path,
    ]
    assert " passed" in call(words, tmp_path, **OFFLINE)


@pytest.mark.usefixtures("preflab")
def test_a_component_that_is_not_named_changes_no_recipe(several: Several, tmp_path: Path) -> None:
    environments: list[dict[str, str]] = [{}, {"PREFLAB_PLUGINS": ""}]
    plans = several([(tmp_path, environment, ("plan", *FAST), 0) for environment in environments])
    assert plans[0] == plans[1]
    assert "algorithm" in plans[0]


def test_a_multirun_with_a_built_in_component(preflab: Path, call: Call, tmp_path: Path) -> None:
    text = call(
        [preflab, "-m", "algorithm=ppo,slic", "reward_model=kwise,bag_of_words", *FAST],
        tmp_path,
        **OFFLINE,
    )
    assert "slic" in text
    stages = sorted(
        p.name.rsplit("-", 1)[0] for p in (tmp_path / "artifacts").iterdir() if p.is_dir()
    )
    upstream = ["samples", "comparisons", "pretrain", "sft", "reward_model", "reward_model"]
    assert stages == sorted([*upstream, *["algorithm", "evaluation"] * 4])
    assert len(_summaries(tmp_path)) == 4
    (folder,) = {p.parent for p in tmp_path.glob("artifacts/reward_model-*/words.json")}
    assert json.loads((folder / "words.json").read_text())["weights"]


@pytest.mark.usefixtures("preflab")
def test_killed_and_run_again_it_gives_the_same_bits(several: Several, tmp_path: Path) -> None:
    whole, *folders = (tmp_path / name for name in ("whole", "reward_model", "algorithm"))
    for folder in (whole, *folders):
        folder.mkdir()
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER)
    run = (*UNSEEN, *SLIC)
    kills = [
        (folder, {"KILL_AT": f"{folder.name}:1"}, ("--plugin", killer, *run), -9)
        for folder in folders
    ]
    several([(whole, {}, run, 0), *kills])
    for folder in folders:
        assert list((folder / "artifacts").glob(f"{folder.name}-*.partial/.state/step-*"))
    several([(folder, {}, run, 0) for folder in folders])
    for folder in folders:
        assert _digests(folder) == _digests(whole)
        (summary,) = _summaries(folder)  # a killed run writes none
        assert folder.name in summary["computed"]


def test_written_packages_install_pass_and_run(
    preflab: Path, pip: list[str | Path], call: Call, several: Several, tmp_path: Path
) -> None:
    """The three commands of each README, for every kind; the second once for all of them."""
    packages = [tmp_path / f"written-{kind.replace('_', '-')}" for kind in KINDS]
    for package, kind in zip(packages, KINDS, strict=True):
        call([preflab, "new-plugin", package.name, "--kind", kind], tmp_path)
    # pip makes an environment to build each in; what a package says of it is the same for all.
    call([*pip, "-e", f"{packages[0]}[test]"], tmp_path)
    call([*pip, "hatchling", "editables"], tmp_path)  # what hatchling asks for, for -e
    others = (word for package in packages[1:] for word in ("-e", f"{package}[test]"))
    call([*pip, "--no-build-isolation", *others], tmp_path)
    python = preflab.parent / "python"
    tests = [package / "tests" for package in packages]
    assert " passed" in call(
        [python, "-m", "pytest", "-q", "--import-mode=importlib", *tests], tmp_path, **OFFLINE
    )
    listed = {
        p["distribution"]: p["status"]
        for p in json.loads(call([preflab, "plugins", "--json"], tmp_path))
    }
    runs: list[tuple[Path, dict[str, str], tuple[str, ...], int]] = []
    for package in packages:
        assert listed[package.name] == "ok"
        commands = [
            line.strip()
            for line in (package / "README.md").read_text().splitlines()
            if line.startswith("    ")
        ]
        assert commands[:2] == ['pip install -e ".[test]"', "pytest"]
        words = commands[2].split()
        assert words[0] == "preflab"
        runs.append((tmp_path, {}, (*words[1:], "artifacts.dir=artifacts"), 0))
    several(runs)
    assert len(_summaries(tmp_path)) == len(KINDS)


def test_preflab_vllm_is_a_wheel_beside_ours(
    binaries: Path, backend: Sequence[str], call: Call, tmp_path: Path
) -> None:
    """Built from its sdist, as `make dist` does, and installed without an index."""
    source = ROOT / "plugins" / "preflab-vllm"
    sdist = tmp_path / call([*backend, "build_sdist", tmp_path], source).strip().splitlines()[-1]
    call(["tar", "xzf", sdist, "-C", tmp_path], tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    wheel = tmp_path / call([*backend, "build_wheel", tmp_path], unpacked).strip().splitlines()[-1]
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-index"]
    call([*pip, wheel], tmp_path)
    shown = call([binaries / "preflab", "plugins", "show", "rollout", "vllm"], tmp_path)
    assert "(preflab-vllm 0.1.0)" in shown
