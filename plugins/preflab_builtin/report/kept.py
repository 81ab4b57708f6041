"""The results of a study as data (`summary.json`), and the section of a notebook that is made from
them. ``python -m preflab_builtin.report.kept sweeps`` writes the sections of `sweeps/RESULTS.md`
whose data are kept in `sweeps/results`."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preflab.interfaces import Measure
from preflab.storage.durable import json_number
from preflab.study import ClaimConfig, Verdict
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.choosing import ranked
from preflab_builtin.report.claims import Decision, as_json
from preflab_builtin.report.contents import Grid, claims, remarks
from preflab_builtin.report.costs import costs
from preflab_builtin.report.markdown import table
from preflab_builtin.report.pictures.verdicts import SHOWN, verdicts_svg
from preflab_builtin.report.report import Study
from preflab_builtin.report.wording import count

COLUMNS = (
    "reward/proxy",
    "gold/gold",
    "kl/reference",
    "families/mean",
    "document_loss/all",
    "cost/flops",
)
"""Measures that a section shows of each arm beside those of its claims, where the arms differ."""
HOUR = 3600.0


def summary(study: Study, arms: Sequence[Arm]) -> dict[str, Any]:
    """Claims, the measures of each arm of the study, and where they come from."""
    own = [arm for arm in arms if arm.config_name == study.name]
    runs = [run for arm in own for run in arm.runs]
    ended = max((run.ended for run in runs), default=0.0)
    return as_json(study.name, study.command, study.decisions) | {
        "title": study.title,
        "ended": datetime.fromtimestamp(ended, UTC).date().isoformat(),
        "commits": sorted({run.commit for run in runs if run.commit}),
        "hours": sum(cost.total for cost in costs(runs)) / HOUR,
        "arms": [
            {"label": arm.label, "seeds": arm.seeds, "measures": _measures(arm)} for arm in own
        ],
    }


def _measures(arm: Arm) -> dict[str, Any]:
    return {
        name: {
            "value": json_number(m.value),
            "low": json_number(m.low),
            "high": json_number(m.high),
            "n": m.n,
        }
        for name, m in arm.measures.items()
    }


def section(data: Mapping[str, Any]) -> str:
    """What a notebook says of a summary: where it comes from, the arms with the measures of the
    claims first, the claims. Markdown."""
    rows = data["arms"]
    arms = [
        Arm(row["label"], (), (), {k: _measure(m) for k, m in row["measures"].items()})
        for row in rows
    ]
    claimed = list(dict.fromkeys(row["measure"] for row in data["claims"]))
    shown = [c for c in ranked(arms, claimed) if c.measure in (*claimed, *COLUMNS)]
    head = ("arm", "seeds", *(f"{c.group}: {c.heading}" for c in shown))
    body = [
        (
            arm.label,
            str(len(row["seeds"])),
            *(f"{c.value(arm)}\n{c.bounds(arm)}".strip() for c in shown),
        )
        for arm, row in zip(arms, rows, strict=True)
    ]
    decisions = [_decision(row) for row in data["claims"]]
    undecided = sum(d.verdict in (Verdict.undecided, Verdict.unanswered) for d in decisions)
    facts = (
        f"`{data['command']}`, ended {data['ended']}, commit {_commits(data) or 'not known'}; "
        f"{data['hours']:.1f} hours of one core. {count(len(decisions), 'claim')}, "
        f"{undecided} undecided."
    )
    notes = "\n".join(f"- {remark}" for remark in remarks(decisions))
    parts = [facts, table(Grid(head, tuple(body))), table(claims(decisions)), notes]
    if verdicts_svg(decisions):
        parts.append(f"![{SHOWN}, for each claim]({picture_name(data['study'])})")
    return "\n\n".join(filter(None, parts))


def picture_name(study: str) -> str:
    """Where the picture of a study's claims is, from the notebook."""
    return f"results/{study}-claims.svg"


def overview(summaries: Sequence[Mapping[str, Any]]) -> str:
    """A table with a row per study: how its claims were decided, by how much, when. Markdown."""
    head = ("study", "claims", "hold", "fail", "undecided", "seeds", "hours", "ended", "commit")
    body = []
    for data in sorted(summaries, key=lambda data: str(data["study"])):
        verdicts = [Verdict(row["holds"]) for row in data["claims"]]
        hold, fail = (sum(v is kind for v in verdicts) for kind in (Verdict.holds, Verdict.fails))
        seeds = {seed for row in data["arms"] for seed in row["seeds"]}
        body.append(
            (
                str(data["study"]),
                *(str(n) for n in (len(verdicts), hold, fail, len(verdicts) - hold - fail)),
                str(len(seeds)),
                f"{data['hours']:.1f}",
                data["ended"],
                _commits(data),
            )
        )
    return table(Grid(head, tuple(body)))


def _commits(data: Mapping[str, Any]) -> str:
    """The versions that computed it; none where that was no checkout."""
    return ", ".join(commit[:7] + "+" * commit.endswith("+") for commit in data["commits"])


def _measure(row: Mapping[str, Any]) -> Measure:
    value, low, high = (
        math.nan if row[key] is None else float(row[key]) for key in ("value", "low", "high")
    )
    return Measure(value, low, high, int(row["n"]))


def _decision(row: Mapping[str, Any]) -> Decision:
    """A claim of a summary, decided as it was. What it compared with does not show in a table."""

    def measure(ends: Sequence[float] | None) -> Measure | None:
        if row["estimate"] is None:
            return None
        low, high = ends or (math.nan, math.nan)
        return Measure(row["estimate"], low, high, row["n"])

    claim = ClaimConfig(
        row["statement"], row["measure"], row["arm"], more=row["more"], margin=row["margin"]
    )
    p, p_holm = (math.nan if row[key] is None else row[key] for key in ("p", "p_holm"))
    looks = row["interval_for_looks"]
    return Decision(
        name=row["name"],
        claim=claim,
        estimate=measure(row["interval"]),
        seeds=tuple(row["seeds"]),
        verdict=Verdict(row["holds"]),
        why=row["why"],
        for_looks=measure(looks) if looks else None,
        p=p,
        p_holm=p_holm,
    )


def written(notebook: str, folder: Path) -> str:
    """A notebook with its sections between ``<!-- results/NAME.json -->`` and ``<!-- end -->`` as
    the files in ``folder`` have them, and all files in one table after ``<!-- results -->``."""
    kept = {path.name: json.loads(path.read_text("utf8")) for path in folder.glob("*.json")}

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        text = section(kept[name.removeprefix("/")]) if name else overview(list(kept.values()))
        return f"<!-- results{name} -->\n\n{text}\n\n<!-- end -->"

    pattern = r"<!-- results(/[\w.-]+|) -->.*?<!-- end -->"
    return re.sub(pattern, replaced, notebook, flags=re.DOTALL)


def pictures(folder: Path) -> dict[Path, bytes]:
    """The picture of each study's claims as the files in ``folder`` have them, by its file."""
    drawn = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text("utf8"))
        svg = verdicts_svg([_decision(row) for row in data["claims"]])
        if svg:
            drawn[folder.parent / picture_name(data["study"])] = svg
    return drawn


if __name__ == "__main__":
    sweeps = Path(sys.argv[1])
    page = sweeps / "RESULTS.md"
    text = written(page.read_text(encoding="utf8"), sweeps / "results")
    page.write_text(text, encoding="utf8")
    for path, svg in pictures(sweeps / "results").items():
        path.write_bytes(svg)
