"""The report as one HTML page: no script, and no request to anywhere.

Jinja escapes every value that the templates show, so that no text from a file becomes markup.
"""

from __future__ import annotations

import base64
from datetime import datetime
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preflab import __version__
from preflab_builtin.report import contents
from preflab_builtin.report.columns import columns
from preflab_builtin.report.pictures import TIME
from preflab_builtin.report.pictures.picture import style_of
from preflab_builtin.report.report import Report
from preflab_builtin.report.wording import count, plain_lines


def page(report: Report) -> str:
    """The whole page."""
    shown = columns(report.arms)
    groups = [(name, len(list(some))) for name, some in groupby(shown, lambda c: c.group)]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            contents=contents,
            count=count,
            columns=shown,
            groups=groups,
            time=TIME,
            version=__version__,
            now=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
    )


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
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "color": lambda number: style_of(number)[0],
    }
    return environment


def _visible(value: Any) -> Any:
    """A value as text without control characters. What a template made (`Markup`) and names that
    are not defined (an error) stay as they are."""
    return value if isinstance(value, (Markup, StrictUndefined)) else plain_lines(str(value))
