"""The whole ladder through the real engine, small: reuse, kills, bad input, unused plugins."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[import-untyped]

from end_to_end.runs import BROKEN, UNSEEN, digests, killed, preflab
from preflab.storage.artifacts import read_rows
from support import represented_by

STAGES = "pretrain sft samples comparisons reward_model algorithm evaluation".split()
FAST = ("debug=fast", "artifacts.dir=artifacts", "checkpoint.every_steps=1", "runtime.threads=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the default experiment ran once."""
    folder = tmp_path_factory.mktemp("finished")
    assert preflab(folder, *FAST) == 0, (folder / "log.txt").read_text()[-3000:]
    return folder


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_a_run_leaves_what_is_promised(finished: Path) -> None:
    run = _only(finished, "runs/config/*")
    for name in (
        ".hydra/config.yaml",
        "manifest.json",
        "summary.json",
        "metrics.jsonl",
        "samples.jsonl",
        "report.html",
    ):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events*"))
    stages = [s["stage"] for s in json.loads((run / "manifest.json").read_text())["stages"]]
    assert stages == STAGES
    assert (run / "artifacts" / "algorithm" / "model" / "model.safetensors").is_file()


def test_tensorboard_charts_show_only_what_a_run_writes(finished: Path) -> None:
    events = EventAccumulator(str(_only(finished, "runs/config/*") / "tensorboard")).Reload()
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    charts = {
        chart.title: list(chart.multiline.tag)
        for category in layout.category
        for chart in category.chart
    }
    assert {"reward", "KL to the reference", "losses", "fine-tuning"} <= set(charts)
    written = set(events.Tags()["scalars"])
    # The default experiment has every stage and the ptx term: no line of any chart stays empty.
    for title, tags in charts.items():
        assert all(any(re.match(tag, name) for name in written) for tag in tags), title


def test_models_are_ordinary_transformers_folders(finished: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    run = _only(finished, "runs/config/*")
    policy = run / "artifacts" / "algorithm" / "model"
    assert AutoModelForCausalLM.from_pretrained(policy).config.vocab_size == len(
        AutoTokenizer.from_pretrained(policy)
    )
    reward = run / "artifacts" / "reward_model" / "model"
    model, report = AutoModelForSequenceClassification.from_pretrained(
        reward, num_labels=1, output_loading_info=True
    )
    assert model.score.weight.shape[0] == 1
    assert not report["missing_keys"]


@pytest.mark.parametrize(
    "stage",
    represented_by(
        ["algorithm"],
        STAGES,
    ),
)
def test_a_killed_stage_resumes_with_the_same_bits(
    finished: Path, tmp_path: Path, stage: str
) -> None:
    _copy_upstream(finished, tmp_path, stage)
    killed(tmp_path, stage, 1, *UNSEEN, *FAST)
    # There is something to restore.
    assert list(tmp_path.glob(f"artifacts/{stage}-*.partial/.state/step-*"))
    assert preflab(tmp_path, *UNSEEN, *FAST) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert digests(tmp_path) == digests(finished)


def _copy_upstream(finished: Path, folder: Path, stage: str) -> None:
    """The artifacts of the stages before this one, so that the kill hits this one."""
    (folder / "artifacts").mkdir()
    for row in json.loads((_only(finished, "runs/config/*") / "manifest.json").read_text())[
        "stages"
    ]:
        if row["stage"] == stage:
            return
        shutil.copytree(row["artifact"], folder / "artifacts" / Path(row["artifact"]).name)


def test_a_multirun_makes_each_upstream_stage_once_per_seed(tmp_path: Path) -> None:
    command = ("-m", "algorithm=ppo,ppo_ptx", "seed=1,2", "evaluation=none", *UNSEEN, *FAST)
    assert preflab(tmp_path, *command) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    stages = sorted(
        p.name.rsplit("-", 1)[0] for p in (tmp_path / "artifacts").iterdir() if p.is_dir()
    )
    # 2 seeds of each upstream stage; 2 algorithms x 2 seeds
    upstream = STAGES[:-2]
    assert stages == sorted([*upstream * 2, *["algorithm"] * 4])
    assert preflab(tmp_path, *command) == 0
    second = sorted(tmp_path.glob("runs/config/*"))[-1]
    computed = [
        json.loads((second / str(job) / "summary.json").read_text())["computed"] for job in range(4)
    ]
    assert computed == [[], [], [], []]
    assert [row["exit_code"] for row in read_rows(second / "ledger.jsonl")] == [0, 0, 0, 0]


def test_a_reward_model_from_a_folder_also_starts_the_value_network(
    tmp_path: Path, finished: Path
) -> None:
    shutil.copytree(finished / "artifacts", tmp_path / "artifacts")
    folder = _only(tmp_path, "artifacts/reward_model-*/model")
    words = (
        "reward_model=pretrained",
        f"reward_model.path={folder}",
        "evaluation=none",
        "algorithm=ppo",
        "algorithm.value.lr=0",
    )
    assert preflab(tmp_path, *words, *UNSEEN, *FAST) == 0, (tmp_path / "log.txt").read_text()[
        -3000:
    ]
    run = json.loads((_only(tmp_path, "runs/config/*") / "manifest.json").read_text())
    value = Path(run["stages"][-1]["artifact"]) / "value" / "model.safetensors"
    before, after = load_file(folder / "model.safetensors"), load_file(value)
    # A learning rate of 0 keeps the initial weights.
    assert all(after[name].equal(before[name]) for name in before)


def test_a_failing_job_stops_no_other_and_is_shown(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished / "artifacts", tmp_path / "artifacts")
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    command = ("--plugin", str(plugin), "-m", "reward_model=broken,kwise", "evaluation=none", *FAST)
    assert preflab(tmp_path, *command, BROKEN="1") == 1
    first = _only(tmp_path, "runs/config/*")
    assert [row["exit_code"] for row in read_rows(first / "ledger.jsonl")] == [3, 0]
    assert "1 job(s) failed" in (tmp_path / "log.txt").read_text()
    page = (first / "report.html").read_text()
    assert "1 job without a result" in page
    assert "reward_model=broken" in page
    again = (*UNSEEN, *command)
    assert preflab(tmp_path, *again) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    second = sorted(tmp_path.glob("runs/config/*"))[-1]
    assert second != first
    computed = [
        json.loads((second / str(job) / "summary.json").read_text())["computed"] for job in (0, 1)
    ]
    assert computed == [["algorithm"], []]


def test_an_installed_plugin_that_is_not_used_changes_no_number(
    tmp_path: Path, finished: Path
) -> None:
    plugin = tmp_path / "bystander.py"
    plugin.write_text(
        "import random\n"
        "from dataclasses import dataclass\n"
        "from preflab import Component, hookimpl, option\n\n"
        "random.seed(0)\n\n\n"
        "@dataclass\n"
        "class C:\n"
        "    name: str = option('bystander', 'component')\n\n\n"
        "@hookimpl\n"
        "def preflab_components():\n"
        "    return [Component('algorithm', 'bystander', C)]\n\n\n"
        "@hookimpl\n"
        "def preflab_step_finished(stage, step, metrics):\n"
        "    random.random()\n"
    )
    assert preflab(tmp_path, "--plugin", str(plugin), *UNSEEN, *FAST) == 0, (
        tmp_path / "log.txt"
    ).read_text()[-3000:]
    assert digests(tmp_path) == digests(finished)


@pytest.mark.parametrize(
    "words,message",
    [
        (("algorithm.minibatch=100000",), "algorithm.minibatch"),
        (("rankings=files", "rankings.path=absent.jsonl"), "absent.jsonl"),
        (("rankings=files", "rankings.path=bad.jsonl"), "bad.jsonl:2"),
        (("rankings=files", "rankings.path=empty.jsonl"), "empty.jsonl"),
        (("data=files", "data.prompts=prompts.jsonl", "policy.tokenizer=bytes"), "needs d"),
        (("nonsense",), "neither a command nor an override"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    row = {"prompt": "a", "completions": ["b", "c"], "ranks": [1, 2]}
    (tmp_path / "bad.jsonl").write_text(
        json.dumps(row) + '\n{"prompt": "a", "completions": ["b"], "ranks": [1]}\n'
    )
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    assert preflab(tmp_path, *words) == 2
    log = (tmp_path / "log.txt").read_text()
    assert message in log
    assert "Traceback" not in log
    assert not (tmp_path / "artifacts").exists()
