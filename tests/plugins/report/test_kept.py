"""Results that are kept as data, and the notebook that is made from them."""

from __future__ import annotations

import json
from pathlib import Path

from fake_study import write_declaring_run
from preflab.composing.search_path import sweeps_root
from preflab_builtin.report.build import build_report
from preflab_builtin.report.contents import claims
from preflab_builtin.report.kept import overview, pictures, section, written
from preflab_builtin.report.markdown import table


def test_the_notebook_says_what_its_data_say() -> None:
    page = (sweeps_root() / "RESULTS.md").read_text(encoding="utf8")
    kept = sorted(path.name for path in (sweeps_root() / "results").glob("*.json"))
    assert kept
    assert [name for name in kept if f"<!-- results/{name} -->" not in page] == []
    assert written(page, sweeps_root() / "results") == page, (
        "sweeps/RESULTS.md differs from sweeps/results: write it with make reference"
    )
    missing = [path.name for path in pictures(sweeps_root() / "results") if not path.is_file()]
    assert missing == []


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


def test_a_section_shows_the_measures_of_its_claims_first(tmp_path: Path) -> None:
    """What the arms have beside them follows where they differ: gold does, proxy does not."""
    for label, gold in (("A", 0.5), ("B", 0.2)):
        values = {"g": gold - 0.1, "gold/gold": gold, "reward/proxy": 1.0}
        write_declaring_run(tmp_path / label, "x", label, 1, values, [("c", "A", "B")])
    build_report([tmp_path], tmp_path / "report.html")
    text = section(json.loads((tmp_path / "summary.json").read_text()))
    (head,) = (line for line in text.splitlines() if line.startswith("| arm "))
    shown = [cell.strip() for cell in head.strip("|").split("|")]
    assert shown == ["arm", "seeds", "G:", "True utility (simulated): gold"]


def test_a_section_shows_what_its_claims_are_about() -> None:
    # A study of the reward model: its algorithm costs nothing in any arm, and no reward was asked.
    measures = {
        "cost/flops": {"value": 0.0, "low": None, "high": None, "n": 0},
        "reward_accuracy/proxy/all": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 90},
        "reward_accuracy/proxy/matched": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40},
    }
    claim = {"name": "c", "statement": "A orders pairs better than B", "arm": "A", "more": True}
    claim |= {"measure": "reward_accuracy/proxy/all", "margin": 0.0, "holds": "unanswered"}
    claim |= {"estimate": None, "interval": None, "interval_for_looks": None, "p": None}
    claim |= {"p_holm": None, "n": 0, "seeds": [], "why": "no finished run of the arm B"}
    text = section(
        {
            "study": "x",
            "command": "preflab -cn x",
            "ended": "2026-11-30",
            "commits": [],
            "hours": 1.0,
            "arms": [{"label": "A", "seeds": [1, 2], "measures": measures}],
            "claims": [claim],
        }
    )
    head = next(line for line in text.splitlines() if line.startswith("| arm"))
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "arm",
        "seeds",
        "Pairs ordered right: proxy",
    ]
    assert text.count("no finished run of the arm B") == 1  # the table says it


def test_the_overview_counts_the_verdicts_of_each_study() -> None:
    verdicts = ["holds", "holds", "fails", "undecided", "unanswered"]
    data = {
        "study": "x",
        "claims": [{"holds": verdict} for verdict in verdicts],
        "arms": [{"seeds": [1, 2]}, {"seeds": [2, 3]}],
        "hours": 1.26,
        "ended": "2026-11-30",
        "commits": ["0123456789+"],
    }
    head, _, row = overview([data]).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")][:6] == [
        "study",
        "claims",
        "hold",
        "fail",
        "undecided",
        "seeds",
    ]
    # 5 claims: 2 hold, 1 fails, an unanswered one counts as undecided; seeds 1, 2 and 3
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["x", "5", "2", "1", "2", "3", "1.3", "2026-11-30", "0123456+"]


def test_a_notebook_has_the_overview_where_it_asks_for_it(tmp_path: Path) -> None:
    page = "before\n<!-- results -->\nstale\n<!-- end -->\nafter"
    new = written(page, tmp_path)
    assert new.startswith("before\n<!-- results -->\n\n|")
    assert new.endswith("<!-- end -->\nafter")
    assert "stale" not in new
    assert written(new, tmp_path) == new
