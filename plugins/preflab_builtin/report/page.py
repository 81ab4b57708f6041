"""The report as one HTML page: no script, and no request to anywhere.

Jinja escapes every value that the templates show, so that no text from a file becomes markup.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preflab import __version__
from preflab_builtin.report import contents
from preflab_builtin.report.accounts import losses
from preflab_builtin.report.choosing import chosen, others
from preflab_builtin.report.columns import Column
from preflab_builtin.report.pictures import TIME
from preflab_builtin.report.pictures.colors import dark_key_css, sign_of, style_of
from preflab_builtin.report.report import Report
from preflab_builtin.report.wording import count, plain_lines


def page(report: Report) -> str:
    """The whole page."""
    shown = chosen(report.arms, report.claimed)
    tables = [_with_groups(some) for some in (shown, *others(report.arms, shown)) if some]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            contents=contents,
            count=count,
            tables=tables,
            losses=losses(report.arms),
            time=TIME,
            dark_keys=Markup(dark_key_css()),
            version=__version__,
            now=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
    )


def _with_groups(shown: Sequence[Column]) -> tuple[Sequence[Column], list[tuple[str, int]]]:
    """Columns, and the headings above them with the number of columns of each."""
    groups = groupby(shown, lambda column: column.group)
    return shown, [(name, len(list(members))) for name, members in groups]


def environment() -> Environment:
    """Templates in which every value is escaped, and shown without control characters."""
    environment = Environment(
        loader=PackageLoader("preflab_builtin.report"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "base64": _base64,
        "color": lambda number: style_of(number)[0],
        "sign": sign_of,
    }
    return environment


def _base64(data: bytes | str) -> str:
    """For a data: address."""
    data = data.encode() if isinstance(data, str) else data
    return base64.b64encode(data).decode("ascii")


def _visible(value: Any) -> Any:
    """A value as text without control characters. What a template made (`Markup`) and names that
    are not defined (an error) stay as they are."""
    return value if isinstance(value, (Markup, StrictUndefined)) else plain_lines(str(value))
