"""The pages: shells without data, which their scripts fill. So nothing on them is anybody's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from preflab_people.server import languages

PAGES = {
    "/": "start",
    "/consent": "consent",
    "/survey": "survey",
    "/instructions": "instructions",
    "/calibration": "calibration",
    "/screening": "screening",
    "/task": "task",
    "/done": "done",
}
"""Path and template."""


def routes(offered: Sequence[str]) -> list[Route]:
    """All pages, in the languages that the round offers."""
    environment = Environment(
        loader=PackageLoader("preflab_people.server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return [
        Route(path, _page(environment, name, offered), methods=["GET"])
        for path, name in PAGES.items()
    ]


def language_of(request: Request, offered: Sequence[str]) -> str:
    """The language in which a page is shown."""
    chosen = request.cookies.get(languages.COOKIE, "")
    return languages.choose(offered, chosen, request.headers.get("accept-language", ""))


def _page(
    environment: Environment, name: str, offered: Sequence[str]
) -> Callable[[Request], Awaitable[Response]]:
    template = environment.get_template(f"{name}.html.jinja")

    async def show(request: Request) -> Response:
        language = language_of(request, offered)
        text = template.render(
            page=name,
            language=language,
            direction=languages.direction(language),
            words=languages.words_of(language),
            offered={tag: languages.words_of(tag)["language"] for tag in offered},
        )
        return HTMLResponse(text, headers={"content-language": language})

    return show
