"""Results that are kept as data, and the notebook that is made from them."""

from __future__ import annotations

import json
from pathlib import Path

from fake_study import write_declaring_run
from preflab.composing.search_path import sweeps_root
from preflab_builtin.report.build import build_report
from preflab_builtin.report.contents import claims
from preflab_builtin.report.kept import section, written
from preflab_builtin.report.markdown import table


def test_the_notebook_says_what_its_data_say() -> None:
    page = (sweeps_root() / "RESULTS.md").read_text(encoding="utf8")
    kept = sorted(path.name for path in (sweeps_root() / "results").glob("*.json"))
    assert kept
    assert [name for name in kept if f"<!-- results/{name} -->" not in page] == []
    assert written(page, sweeps_root() / "results") == page, (
        "sweeps/RESULTS.md differs from sweeps/results: write it with make reference"
    )


def test_a_section_is_made_from_the_summary_alone(tmp_path: Path) -> None:
    """The table of claims is the report's own, after a way through JSON."""
    for label, values in {"A": (0.1, 0.3), "B": (0.0, 0.1)}.items():
        for seed, value in enumerate(values):
            folder = tmp_path / f"{label}{seed}"
            write_declaring_run(folder, "x", label, seed, {"g": value}, [("c", "A", "B")])
    report = build_report([tmp_path], tmp_path / "report.html")
    data = json.loads((tmp_path / "summary.json").read_text())
    (own,) = report.studies
    assert table(claims(own.decisions)) in section(data)
    assert [row["label"] for row in data["arms"]] == [arm.label for arm in report.arms]
    first = data["arms"][0]
    assert (first["seeds"], first["measures"]["g"]["value"]) == ([0, 1], 0.2)
    assert first["measures"]["g"]["n"] == report.arms[0].measures["g"].n
    assert data["title"] == "Study x"
