"""The report in the system's Chromium, from file://, at desktop and phone width, with and without scripts (make test-browser)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.report.test_report import _evaluation, study, write_run
from preflab_builtin.report.build import build_report

pytestmark = pytest.mark.browser
ATTACK = (
    "<script>window.pwned=1</script></pre></script></style><img src=x onerror='window.pwned=1'>"
    '" onmouseover="window.pwned=1 <svg onload=window.pwned=1> <a href="javascript:window.pwned=1">a</a>'
    " ![i](http://example.org/i.png) \x00 \u202eright to left <iframe src=http://example.org></iframe>"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report in which an arm, its overrides and a failed job's error attack the page; its own samples do too."""
    folder = tmp_path_factory.mktemp("report")
    runs = study(folder / "runs")
    name = ATTACK.replace("\x00", "")  # it names a folder too, and a folder's name holds no null byte
    write_run(runs / "77", f"arm {name}", 1, [f"x={ATTACK}"], _evaluation("SFT", 0.0))
    for samples in runs.glob("*/kept/*/samples.jsonl"):
        # The text inside a JSON string: quotes and control characters are written as JSON writes them.
        inner = ATTACK.replace('"', '\\"').replace("\x00", "\\u0000")
        samples.write_text(samples.read_text("utf8").replace(" says ", f" {inner} says "), "utf8")
    build_report([runs], folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The distribution's browser: nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium on this machine: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        yield browser
        browser.close()


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width,height", [(1280, 900), (390, 844)])
def test_the_page_is_whole_quiet_and_harmless(
    address: str, chromium: Any, tmp_path: Path, width: int, height: int, scripts: bool
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height}, java_script_enabled=scripts)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    shot = tmp_path / f"report-{width}.png"
    page.screenshot(path=str(shot), full_page=True)
    print(f"screenshot: {shot}")
    assert said == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, iframe, svg, a, object, form").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # tables scroll in their own frame
    pictures = page.locator("img").all()
    assert len(pictures) >= 4
    for picture in pictures:
        assert len(picture.get_attribute("alt") or "") > 40
        assert picture.evaluate("image => image.naturalWidth") > 300  # it was decoded, not only named
    sizes = page.locator("td").evaluate_all("cells => cells.map(cell => parseFloat(getComputedStyle(cell).fontSize))")
    assert min(sizes) >= 12  # pixels: readable without zoom
    assert "window.pwned=1" in page.locator("body").inner_text()  # the attack is there, as text
    context.close()
