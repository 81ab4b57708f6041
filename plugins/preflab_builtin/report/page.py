"""The report as one HTML page: no script, no request to anywhere. Everything that came from a file is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from preflab import __version__
from preflab_builtin.report.accounts import accounts
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.costs import scaled
from preflab_builtin.report.plots import Picture, drift, iterations, learning_curves, scatters, style_of, win_rates
from preflab_builtin.report.tables import NOTHING, claimed, columns, plain, remarks

if TYPE_CHECKING:
    from preflab_builtin.report.build import Report

STYLE = """
:root{color-scheme:light dark;--ink:#1c2128;--dim:#5b6470;--line:#d9dde2;--soft:#f5f6f8;--bg:#fff;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--dim:#9aa4b0;--line:#3a414a;--soft:#22272e;--bg:#181b20;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;
color:var(--ink);background:var(--bg);overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}
.dim,figcaption,caption{color:var(--dim);font-size:.875rem}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
tr:last-child>*{border-bottom:0}
thead th{background:var(--soft);font-weight:600}thead tr:first-child th{border-left:1px solid var(--line);text-align:center}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:break-word;min-width:8.5rem;max-width:14rem;position:sticky;left:0;background:var(--bg);border-left:0!important}
thead th:first-child{background:var(--soft)}
td small{display:block;color:var(--dim);font-size:.75rem}
td.text,th.text{text-align:left;white-space:normal;min-width:12rem;overflow-wrap:anywhere}
.key{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;margin-right:.4rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure,.answers>div{min-width:0}figure{margin:0}figure h3{font-size:.95rem;margin:.2rem 0}
img{width:100%;max-width:34rem;height:auto;border-radius:.5rem;background:#fff}
.sample{border:1px solid var(--line);border-radius:.5rem;padding:.75rem;margin:.75rem 0}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:.75rem;margin-top:.5rem}
.answers>div{background:var(--soft);border-radius:.4rem;padding:.5rem}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:inherit}
.bad{color:var(--bad)}code{font-size:.85em;overflow-wrap:anywhere}
details{margin:.5rem 0}summary{cursor:pointer}
"""
SAMPLES = 8
"""Prompts that are shown with all arms' responses."""
_SHOWN_VALUES = (("gold/gold", "utility"), ("reward/proxy", "reward"), ("win_rate/labelers", "preferred by"))


def page(report: Report) -> str:
    """The whole page."""
    title = f"{len(report.arms)} arm{'s' * (len(report.arms) != 1)}, {_count(len(report.gathered.runs), 'run')}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        # Even if something slipped through the escaping, it could neither run nor call home.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>preflab report: {title}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="dim"><code>{escape(report.command)}</code></p>',
        f'<p class="dim">{title}. Made by preflab {escape(__version__)} on {datetime.now():%Y-%m-%d %H:%M}.</p>',
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        failures(report),
        claims(report),
        ladder(report.arms),
        pictures("Reward against tax", scatters(report.arms, report.series), report),
        pictures("Over-optimisation", drift(report.arms), report),
        pictures("Win rates", win_rates(report.arms), report),
        pictures("Learning curves", learning_curves(report.arms), report),
        samples(report.arms),
        measures(report.arms),
        accounting(report.arms),
        cost(report),
        pictures("Where an iteration's time goes", iterations(report.arms), report),
        overrides(report.arms),
        differences(report.arms),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def escape(value: Any) -> str:
    """Text as HTML text: characters that mean something to a browser are written out, control characters are shown as a space
    (line breaks stay)."""
    return html.escape("\n".join(plain(line) for line in str(value).split("\n")), quote=True)


def failures(report: Report) -> str:
    """Jobs that gave no result."""
    if not report.gathered.failures:
        return ""
    rows = [
        [escape(f.folder), escape("" if f.exit_code is None else f.exit_code), _code(f.overrides), escape(f.error)]
        for f in report.gathered.failures
    ]
    head = f'<h2 class="bad">{_count(len(rows), "job")} without a result</h2>'
    return head + _table(["folder", "exit code", "overrides", "what happened"], rows, text_columns=(2, 3))


def claims(report: Report) -> str:
    """What each study set out to decide, and what its intervals say."""
    decided = [study for study in report.studies if study.decisions]
    tables = []
    for study in decided:
        title = f"<h3>{escape(study.declared.title or study.name)}</h3>" if len(decided) > 1 else ""
        tables.append(title + _claims(study.decisions) + "".join(f"<p>{escape(said)}</p>" for said in remarks(study.decisions)))
    return f"<h2>Claims</h2>{''.join(tables)}" if tables else ""


def _claims(decisions: Sequence[Decision]) -> str:
    rows = []
    for d in decisions:
        estimate, interval = claimed(d)
        behind = f"{_count(len(d.seeds), 'seed')}" + (f", n = {d.estimate.n}" if d.estimate is not None and d.estimate.n else "")
        shown = {"holds": "<b>holds</b>", "fails": '<b class="bad">fails</b>'}.get(d.verdict.value, d.verdict.value)
        rows.append([escape(d.claim.statement), shown, escape(estimate), escape(interval), behind, escape(d.claim.measure)])
    head = ["claim", "verdict", "difference", "95 % interval", "from", "measure"]
    return _table(head, rows, text_columns=(0,))


def ladder(arms: Sequence[Arm]) -> str:
    """One row an arm, values with their intervals below."""
    shown = columns(arms)
    if not shown:
        return "<h2>Results</h2><p>No run has measured anything (evaluation=none).</p>" if arms else ""
    groups = [(name, len(list(members))) for name, members in groupby(shown, key=lambda column: column.group)]
    top = "<tr><th></th><th></th>" + "".join(f'<th colspan="{n}">{escape(name)}</th>' for name, n in groups) + "</tr>"
    second = "<tr><th>arm</th><th>seeds</th>" + "".join(f"<th>{escape(c.heading)}</th>" for c in shown) + "</tr>"
    body = []
    for number, arm in enumerate(arms):
        cells = [f"<td>{_key(number)}{escape(arm.label)}</td><td>{len(arm.runs)}</td>"]
        for column in shown:
            bounds = column.bounds(arm)
            cells.append(f"<td>{escape(column.value(arm))}{f'<small>{escape(bounds)}</small>' if bounds else ''}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    table = f"<table><thead>{top}{second}</thead><tbody>{''.join(body)}</tbody></table>"
    return f'<h2>Results</h2><div class="scroll">{table}</div>'


def pictures(title: str, found: Sequence[Picture], report: Report) -> str:
    """Pictures beside one another, or below one another on a phone, each with what is behind it."""
    if not found:
        return ""
    figures = []
    for picture in found:
        data = base64.b64encode(picture.png).decode("ascii")
        said = f"{escape(picture.caption)} " if picture.caption else ""
        caption = f"<figcaption>{said}{escape(behind(report.arms))} <code>{escape(report.command)}</code></figcaption>"
        image = f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'
        figures.append(f"<figure><h3>{escape(picture.title)}</h3>{image}{caption}</figure>")
    return f'<h2>{escape(title)}</h2><div class="pictures">{"".join(figures)}</div>'


def behind(arms: Sequence[Arm]) -> str:
    """Seeds and prompts behind the pictures; seeds an arm where the arms have different ones."""
    seeds = {arm.label: [run.draw.label for run in sorted(arm.runs, key=lambda run: run.draw)] for arm in arms}

    def listed(some: Sequence[int | str]) -> str:
        return f"seed{'s' * (len(some) != 1)} {', '.join(map(str, some))}"

    if all(some == next(iter(seeds.values())) for some in seeds.values()):
        said = listed(next(iter(seeds.values())))
    else:
        said = "; ".join(f"{label}: {listed(some)}" for label, some in seeds.items())
    prompts = sorted({run.prompts for arm in arms for run in arm.runs if run.prompts})
    return f"{said[:1].upper()}{said[1:]}" + (f"; n = {' or '.join(map(str, prompts))} prompts a run." if prompts else ".")


def samples(arms: Sequence[Arm]) -> str:
    """Responses of all arms (their first runs) to the same prompts, side by side; prompts at even distances."""
    by_arm = [(number, arm, {str(row.get("prompt_id")): row for row in arm.runs[0].samples()}) for number, arm in enumerate(arms)]
    by_arm = [(number, arm, rows) for number, arm, rows in by_arm if rows]
    if not by_arm:
        return ""
    shared = [key for key in by_arm[0][2] if all(key in rows for _, _, rows in by_arm)] or list(by_arm[0][2])
    chosen = [shared[i * len(shared) // min(SAMPLES, len(shared))] for i in range(min(SAMPLES, len(shared)))]
    cards = []
    for key in chosen:
        rows = [(number, arm, found[key]) for number, arm, found in by_arm if key in found]
        answers = [_answer(f"{_key(number)}{escape(arm.label)}", row, "response") for number, arm, row in rows]
        baselines = [(arm.runs[0].baseline, row) for _, arm, row in rows if row.get("baseline") is not None]
        if baselines:
            answers.append(_answer(f"baseline ({escape(baselines[0][0])})", baselines[0][1], "baseline"))
        tags = "".join(f" · {escape(tag)}" for tag in rows[0][2].get("tags") or [])
        prompt = f'<div class="dim">prompt {escape(key)}{tags}</div><pre>{escape(rows[0][2].get("prompt", ""))}</pre>'
        cards.append(f'<div class="sample">{prompt}<div class="answers">{"".join(answers)}</div></div>')
    return f"<h2>Responses side by side</h2>{''.join(cards)}"


def _answer(title: str, row: dict[str, Any], field: str) -> str:
    """One response; title is HTML already."""
    facts = []
    if field == "response":
        values = row.get("values") or {}
        facts = [f"{label} {values[name]:.2f}" for name, label in _SHOWN_VALUES if isinstance(values.get(name), (int, float))]
        if row.get("terminated") is False:
            facts.append("cut at the cap")
    text = escape(row.get(field) or "") or '<span class="dim">(empty)</span>'
    return f'<div><b>{title}</b><pre>{text}</pre><div class="dim">{escape(" · ".join(facts))}</div></div>'


def measures(arms: Sequence[Arm]) -> str:
    """Every measure of every arm, for those who look for one that the first table leaves out."""
    names = sorted({name for arm in arms for name in arm.measures})
    if not names:
        return ""
    rows = []
    for name in names:
        cells = [escape(name)]
        for arm in arms:
            m = arm.measures.get(name)
            bounds = "" if m is None or m.low is None or m.high is None else f"<small>[{m.low:.4f}, {m.high:.4f}]</small>"
            cells.append("" if m is None else f"{m.value:.4f}{bounds}<small>n = {m.n}</small>")
        rows.append(cells)
    return f"<details><summary>All measures</summary>{_table(['measure', *(escape(a.label) for a in arms)], rows)}</details>"


def accounting(arms: Sequence[Arm]) -> str:
    """What became of rows and tokens, by record type and stage."""
    rows = [[escape(where), escape(what), *map(escape, cells)] for (where, what), cells in accounts(arms)]
    if not rows:
        return ""
    table = _table(["where", "what", *(escape(a.label) for a in arms)], rows, text_columns=(1,))
    return f"<details><summary>Rows and tokens: read, kept, left out, cut</summary>{table}</details>"


def cost(report: Report) -> str:
    """What each stage took, once an artifact, and how often it was reused."""
    optional = (
        ("tokens", [scaled(c.tokens) for c in report.costs]),
        ("FLOPs", [scaled(c.flops) for c in report.costs]),
        ("peak MB", [f"{c.peak_mb:.0f}" if c.peak_mb else "" for c in report.costs]),
    )
    known = [(heading, cells) for heading, cells in optional if any(cells)]
    rows = [
        [
            escape(c.stage),
            escape(c.component),
            *(str(number) for number in (c.artifacts, c.computed, c.reused)),
            f"{c.mean:.1f}",
            f"{c.total:.1f}",
            *(cells[i] for _, cells in known),
        ]
        for i, c in enumerate(report.costs)
    ]
    if not rows:
        return ""
    head = ["stage", "component", "different results", "computed by these runs", "reused", "seconds each", "seconds in all"]
    total, flops = sum(c.total for c in report.costs), sum(c.flops for c in report.costs)
    said = f"{total:.0f} s{f' and {scaled(flops)}FLOP' if flops else ''} to make everything once; reuse is free."
    return f"<h2>Cost</h2>{_table([*head, *(heading for heading, _ in known)], rows)}<p class='dim'>{said}</p>"


def overrides(arms: Sequence[Arm]) -> str:
    """What was typed for each row."""
    rows = []
    for number, arm in enumerate(arms):
        seeds = ", ".join(map(str, arm.seeds))
        where = "<br>".join(f"<code>{escape(run.folder)}</code>" for run in arm.runs)
        typed = [word for word in arm.runs[0].overrides if word in arm.overrides or word.lstrip("+").startswith("arm=")]
        rows.append([f"{_key(number)}{escape(arm.label)}", escape(seeds), _code(typed) or "none", where])
    return (
        f"<h2>What was run</h2>{_table(['arm', 'seeds', 'overrides', 'run folders'], rows, text_columns=(2, 3))}" if rows else ""
    )


def differences(arms: Sequence[Arm]) -> str:
    """Every key of the composed configs in which the arms differ, seeds and names left out."""
    configs = [arm.runs[0].config() for arm in arms]
    keys = sorted({key for config in configs for key in config})
    differing = [k for k in keys if len({repr(c.get(k, NOTHING)) for c in configs}) > 1 and not k.endswith("seed") and k != "arm"]
    rows = [[escape(key), *(escape(c.get(key, NOTHING)) for c in configs)] for key in differing]
    if not rows:
        return ""
    table = _table(["key", *(escape(a.label) for a in arms)], rows)
    return f"<details><summary>Config differences ({len(rows)} keys)</summary>{table}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; ``text_columns`` hold running text, which wraps."""

    def cell(tag: str, i: int, text: str) -> str:
        kind = ' class="text"' if i in text_columns else ""
        return f"<{tag}{kind}>{text}</{tag}>"

    top = "".join(cell("th", i, text) for i, text in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', i, text) for i, text in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _code(words: Sequence[str]) -> str:
    return f"<code>{escape(' '.join(words))}</code>" if words else ""


def _key(number: int) -> str:
    """The dot in the arm's colour."""
    return f'<span class="key" style="background:{style_of(number)[0]}"></span>'


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
