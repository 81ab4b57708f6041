"""The event file of a run, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[import-untyped]

from preflab_builtin.tensorboard.writer import LAYOUT, TensorBoardLog, flat

CONFIG = {
    "seed": 1,
    "algorithm": {"name": "ppo", "kl": {"coef": 0.2}, "terms": {}},
    "arm": None,
    "list": [1, 2],
}


def _read(folder: Path) -> Any:
    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def _run(folder: Path) -> None:
    log = TensorBoardLog(folder, CONFIG)
    log.preflab_stage_reused(
        [{"step": i, "loss/sft": 2.0 - i, "sft/tokens": 5.0} for i in range(2)]
    )
    log.preflab_stage_started([{"step": 0, "objective/kl": 0.0}])
    log.preflab_step_finished(1, {"objective/kl": 0.5, "bad": math.nan})
    log.preflab_stage_finished()
    log.preflab_stage_started([])
    log.preflab_step_finished(2, {"eval/gold/gold": 0.25})
    measures = {
        "gold/gold": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 8},
        "kl/reference": {"value": None},
    }
    log.preflab_run_finished({"evaluation": {"measures": measures}})


def test_scalars_of_done_reused_and_resumed_steps(tmp_path: Path) -> None:
    _run(tmp_path)
    events = _read(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss/sft")] == [(0, 2.0), (1, 1.0)]
    assert [(e.step, e.value) for e in events.Scalars("objective/kl")] == [(0, 0.0), (1, 0.5)]
    assert math.isnan(events.Scalars("bad")[0].value)
    assert [(e.step, e.value) for e in events.Scalars("eval/gold/gold")] == [(2, 0.25)]
    assert [e.value for e in events.Scalars("result/gold/gold")] == [0.25]
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
    ] == ["result/gold/gold"]


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
    assert dict(flat(CONFIG)) == {
        "seed": 1,
        "algorithm.name": "ppo",
        "algorithm.kl.coef": 0.2,
        "arm": "none",
        "list": "[1, 2]",
    }
