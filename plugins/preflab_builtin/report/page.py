"""The report as one HTML page: no script, no request to anywhere. Everything that came from a file is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from preflab import __version__
from preflab_builtin.report import contents
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.contents import Answer, Grid, count
from preflab_builtin.report.plots import TIME, Picture, style_of
from preflab_builtin.report.tables import columns, plain, remarks

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
Render = Callable[[int, str], str]
"""Number of the row and text of a cell to HTML."""


def page(report: Report) -> str:
    """The whole page."""
    title = f"{count(len(report.arms), 'arm')}, {count(len(report.gathered.runs), 'run')}"
    folded = (
        _folded("All measures", contents.measures(report.arms)),
        _folded(
            "Rows and tokens: read, kept, left out, cut",
            contents.accounting(report.arms),
            {1: _text},
        ),
    )
    differing = contents.differences(report.arms)
    figures = {heading: pictures(heading, found) for heading, found in report.figures.items()}
    time = figures.pop(TIME, "")
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
        *figures.values(),
        samples(report.arms),
        *folded,
        cost(report),
        time,
        overrides(report.arms),
        _folded(f"Config differences ({count(len(differing.rows), 'key')})", differing),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def escape(value: Any) -> str:
    """Text as HTML text: characters that mean something to a browser are written out, control characters are shown as a space
    (line breaks stay)."""
    return html.escape("\n".join(plain(line) for line in str(value).split("\n")), quote=True)


def failures(report: Report) -> str:
    """Jobs that gave no result."""
    grid = contents.failures(report.gathered.failures)
    head = f'<h2 class="bad">{count(len(grid.rows), "job")} without a result</h2>'
    return head + _table(grid, {2: _code, 3: _text}) if grid.rows else ""


def claims(report: Report) -> str:
    """What each study set out to decide, and what its intervals say."""
    decided = [study for study in report.studies if study.decisions]
    tables = []
    for study in decided:
        title = f"<h3>{escape(study.declared.title or study.name)}</h3>" if len(decided) > 1 else ""
        table = _table(contents.claims(study.decisions), {0: _text, 1: _verdict})
        tables.append(
            title + table + "".join(f"<p>{escape(said)}</p>" for said in remarks(study.decisions))
        )
    return f"<h2>Claims</h2>{''.join(tables)}" if tables else ""


def ladder(arms: Sequence[Arm]) -> str:
    """One row an arm, values with their intervals below."""
    shown = columns(arms)
    if not shown:
        return (
            "<h2>Results</h2><p>No run has measured anything (evaluation=none).</p>" if arms else ""
        )
    groups = [
        (name, len(list(members)))
        for name, members in groupby(shown, key=lambda column: column.group)
    ]
    top = (
        "<tr><th></th><th></th>"
        + "".join(f'<th colspan="{n}">{escape(name)}</th>' for name, n in groups)
        + "</tr>"
    )
    second = (
        "<tr><th>arm</th><th>seeds</th>"
        + "".join(f"<th>{escape(c.heading)}</th>" for c in shown)
        + "</tr>"
    )
    body = []
    for number, arm in enumerate(arms):
        cells = [f"<td>{_key(number)}{escape(arm.label)}</td><td>{len(arm.runs)}</td>"]
        for column in shown:
            bounds = column.bounds(arm)
            cells.append(
                f"<td>{escape(column.value(arm))}{f'<small>{escape(bounds)}</small>' if bounds else ''}</td>"
            )
        body.append(f"<tr>{''.join(cells)}</tr>")
    table = f"<table><thead>{top}{second}</thead><tbody>{''.join(body)}</tbody></table>"
    return f'<h2>Results</h2><div class="scroll">{table}</div>'


def pictures(title: str, found: Sequence[Picture]) -> str:
    """Pictures beside one another, or below one another on a phone, each with what is behind it."""
    figures = []
    for picture in found:
        data = base64.b64encode(picture.png).decode("ascii")
        said = f"{escape(picture.caption)} " if picture.caption else ""
        caption = f"<figcaption>{said}{escape(picture.behind)} <code>{escape(picture.command)}</code></figcaption>"
        image = f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'
        figures.append(f"<figure><h3>{escape(picture.title)}</h3>{image}{caption}</figure>")
    return (
        f'<h2>{escape(title)}</h2><div class="pictures">{"".join(figures)}</div>' if figures else ""
    )


def samples(arms: Sequence[Arm]) -> str:
    """Responses of all arms to the same prompts, side by side."""
    cards = [
        f'<div class="sample"><div class="dim">{escape(card.heading)}</div><pre>{escape(card.prompt)}</pre>'
        f'<div class="answers">{"".join(map(_answer, card.answers))}</div></div>'
        for card in contents.side_by_side(arms)
    ]
    return f"<h2>Responses side by side</h2>{''.join(cards)}" if cards else ""


def _answer(answer: Answer) -> str:
    key = "" if answer.number is None else _key(answer.number)
    text = escape(answer.text) or '<span class="dim">(empty)</span>'
    return f'<div><b>{key}{escape(answer.who)}</b><pre>{text}</pre><div class="dim">{escape(answer.facts)}</div></div>'


def cost(report: Report) -> str:
    """What each stage took."""
    grid = contents.costs(report.costs)
    said = f"<p class='dim'>{escape(contents.costs_in_all(report.costs))}</p>"
    return f"<h2>Cost</h2>{_table(grid)}{said}" if grid.rows else ""


def overrides(arms: Sequence[Arm]) -> str:
    """What was typed for each arm."""
    grid = contents.overrides(arms)
    return (
        f"<h2>What was run</h2>{_table(grid, {0: _keyed, 2: _code, 3: _code})}" if grid.rows else ""
    )


def _folded(heading: str, grid: Grid, renders: Mapping[int, Render] | None = None) -> str:
    """A long table, closed until somebody opens it."""
    return (
        f"<details><summary>{escape(heading)}</summary>{_table(grid, renders)}</details>"
        if grid.rows
        else ""
    )


def _table(grid: Grid, renders: Mapping[int, Render] | None = None) -> str:
    """A table; renders: how the cells of a column are written. Those of text and code wrap."""
    renders = renders or {}
    wide = {i for i, render in renders.items() if render in (_text, _code)}

    def cell(tag: str, i: int, content: str) -> str:
        kind = ' class="text"' if i in wide else ""
        return f"<{tag}{kind}>{content}</{tag}>"

    top = "".join(cell("th", i, escape(text)) for i, text in enumerate(grid.head))
    body = [
        "".join(cell("td", i, renders.get(i, _lines)(number, text)) for i, text in enumerate(row))
        for number, row in enumerate(grid.rows)
    ]
    rows = "".join(f"<tr>{row}</tr>" for row in body)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'


def _lines(number: int, text: str) -> str:
    """The first line, and the others small."""
    first, *others = text.split("\n")
    return escape(first) + "".join(f"<small>{escape(line)}</small>" for line in others)


def _text(number: int, text: str) -> str:
    return escape(text)


def _code(number: int, text: str) -> str:
    return "<br>".join(f"<code>{escape(line)}</code>" for line in text.split("\n") if line)


def _keyed(number: int, text: str) -> str:
    return f"{_key(number)}{escape(text)}"


def _verdict(number: int, text: str) -> str:
    return {"holds": "<b>holds</b>", "fails": '<b class="bad">fails</b>'}.get(text, escape(text))


def _key(number: int) -> str:
    """The dot in the arm's colour."""
    return f'<span class="key" style="background:{style_of(number)[0]}"></span>'
