"""The event file of a run, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[import-untyped]

from preflab.tracking import Sample, TrackedRun
from preflab_builtin.tensorboard.config import TensorBoardConfig
from preflab_builtin.tensorboard.writer import LAYOUT, TensorBoardLog, plain

CONFIG = {
    "seed": 1,
    "algorithm": {"name": "ppo", "kl": {"coef": 0.2}, "terms": {}},
    "arm": None,
    "list": [1, 2],
}


def _read(folder: Path) -> Any:
    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def _log(folder: Path) -> TensorBoardLog:
    return TensorBoardLog(TensorBoardConfig(), TrackedRun(folder, CONFIG, []))


def _run(folder: Path) -> None:
    log = _log(folder)
    for step in range(2):
        log.log("sft", step, {"loss/sft": 2.0 - step, "sft/tokens": 5.0}, None)
    log.log("algorithm", 0, {"objective/kl": 0.0}, None)
    log.log("algorithm", 1, {"objective/kl": 0.5, "bad": math.nan}, 1.5e9)
    log.flush()
    log.log("evaluation", 2, {"eval/gold/gold": 0.25}, 1.5e9)
    measures = {
        "gold/gold": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 8},
        "kl/reference": {"value": None},
    }
    log.close({"evaluation": {"measures": measures}})


def test_scalars_of_done_reused_and_resumed_steps(tmp_path: Path) -> None:
    _run(tmp_path)
    events = _read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss/sft")] == [(0, 2.0), (1, 1.0)]
    assert [(e.step, e.value) for e in events.Scalars("objective/kl")] == [(0, 0.0), (1, 0.5)]
    assert math.isnan(events.Scalars("bad")[0].value)
    assert [(e.step, e.value) for e in events.Scalars("eval/gold/gold")] == [(2, 0.25)]
    assert "sft/tokens" in events.Tags()["scalars"]


def test_one_folder_with_a_row_of_hyper_parameters_and_a_layout(tmp_path: Path) -> None:
    _run(tmp_path)
    assert [
        p for p in (tmp_path / "tensorboard").iterdir() if p.is_dir()
    ] == []  # no second run below this one
    events = _read(tmp_path)
    plugins = set(events.summary_metadata)
    assert {"_hparams_/session_start_info", "custom_scalars__config__"} <= plugins
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"algorithm.kl.coef" in content


def test_the_hparams_tab_has_the_config_and_the_results(tmp_path: Path) -> None:
    _run(tmp_path)
    events = _read(tmp_path)

    def plugin_data(tag: str) -> Any:
        return HParamsPluginData.FromString(events.summary_metadata[tag].plugin_data.content)

    row = plugin_data("_hparams_/session_start_info").session_start_info.hparams
    assert row["algorithm.kl.coef"].number_value == 0.2
    assert row["algorithm.name"].string_value == "ppo"
    assert [
        info.name.tag for info in plugin_data("_hparams_/experiment").experiment.metric_infos
    ] == ["eval/gold/gold"]
    # What the tab shows is the scalar itself: no result is there twice.
    assert [tag for tag in events.Tags()["scalars"] if tag.endswith("gold/gold")] == [
        "eval/gold/gold"
    ]


def test_responses_are_texts(tmp_path: Path) -> None:
    log = _log(tmp_path)
    samples = [
        Sample("p1", "one\ntwo", "*three*", True, 1, {"score": 0.5}),
        Sample("p2", "four", "", False, 0, {}),
    ]
    log.show("algorithm", 7, samples)
    log.close(None)
    (event,) = _read(tmp_path).Tensors("samples/algorithm/text_summary")
    assert event.step == 7
    assert event.tensor_proto.string_val[0].decode() == (
        "p1: 1 tokens, score 0.5\n\n    one\n    two\n    >>> *three*\n\n---\n\n"
        "p2: 0 tokens, cut at the cap\n\n    four\n    >>> "
    )


def test_points_of_a_killed_process_no_longer_count(tmp_path: Path) -> None:
    killed = _log(tmp_path)
    for step in range(3):
        killed.log("sft", step, {"loss/sft": float(step)}, None)
    killed.flush()
    log = _log(tmp_path)
    for step in range(2):
        log.log("sft", step, {"loss/sft": float(step)}, None)
    log.close(None)
    assert [(e.step, e.value) for e in _read(tmp_path).Scalars("loss/sft")] == [(0, 0.0), (1, 1.0)]


def test_the_custom_scalars_tab_has_the_charts(tmp_path: Path) -> None:
    _run(tmp_path)
    (event,) = _read(tmp_path).Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == list(LAYOUT)
    charts = {
        chart.title: list(chart.multiline.tag)
        for category in layout.category
        for chart in category.chart
    }
    assert charts["KL to the reference"] == ["objective/kl"]
    assert charts == {
        title: tags for group in LAYOUT.values() for title, (_, tags) in group.items()
    }


def test_the_time_chart_shows_every_phase_and_no_share() -> None:
    _, (tag,) = LAYOUT["Alignment"]["seconds per iteration"]
    names = ("time/rollout", "time/update", "time/peak_fraction", "objective/kl")
    assert [name for name in names if re.match(tag, name)] == ["time/rollout", "time/update"]


def test_hyper_parameters_are_plain_values() -> None:
    run = TrackedRun(Path("run"), CONFIG, ())
    assert plain(run.flat_config()) == {
        "seed": 1,
        "algorithm.name": "ppo",
        "algorithm.kl.coef": 0.2,
        "arm": "none",
        "list": "[1, 2]",
    }
