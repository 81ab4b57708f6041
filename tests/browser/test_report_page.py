"""The report in a real browser: it is readable at desktop and phone width, on dark pages and on
paper, requests nothing, and runs nothing.

Screenshots are written to the folder PREFLAB_SCREENSHOTS (`make test-browser`:
build/screenshots): look at them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from end_to_end.runs import BROKEN, preflab
from fake_study import EVIL, LADDER, results, study, write_run
from fake_sweep import fifty_runs, one_run, two_by_two
from preflab_builtin.report.build import build_report
from preflab_builtin.report.pictures.colors import DARK, PAPER

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@dataclass
class Opened:
    """A page, and what happened while it was opened."""

    page: Page
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def _open(
    browser: Browser,
    path: Path,
    width: str = "desktop",
    *,
    scripts: bool = True,
    trusting: bool = False,
    dark: bool = False,
) -> Opened:
    """Open a file. dark: by a reader whose system is dark. trusting: without the page's content
    security policy, so that only its escaping protects."""
    w, h = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": w, "height": h},
        is_mobile=width == "phone",
        java_script_enabled=scripts,
        bypass_csp=trusting,
        color_scheme="dark" if dark else "light",
    )
    opened = Opened(context.new_page())
    opened.page.on(
        "console",
        lambda line: opened.errors.append(line.text) if line.type in ("error", "warning") else None,
    )
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("request", lambda request: opened.requests.append(request.url))

    def dismiss(dialog: object) -> None:
        opened.dialogs.append(str(dialog.message))  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    opened.page.on("dialog", dismiss)
    opened.page.goto(path.as_uri(), wait_until="load")
    opened.page.wait_for_timeout(200)  # an onerror handler fires after loading
    return opened


def _take_screenshot(page: Page, name: str) -> None:
    folder = os.environ.get("PREFLAB_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _assert_readable(opened: Opened, path: Path) -> None:
    page = opened.page
    assert opened.errors == []
    outside = [url for url in opened.requests if not url.startswith("data:")]
    assert outside == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page itself scrolls sideways"
    )
    pictures = page.evaluate(
        "[...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 0, i.clientWidth])"
    )
    assert pictures
    for alt, shown, wide in pictures:
        assert alt
        assert shown, alt
        assert wide >= 300, alt  # on a phone they are as wide as the page
    sizes = "[...document.querySelectorAll('body *')].map(e => getComputedStyle(e).fontSize)"
    assert min(float(size.removesuffix("px")) for size in page.evaluate(sizes)) >= 11
    # A table wider than the page scrolls in its own box; on a laptop those that are open fit it.
    assert page.evaluate(
        "[...document.querySelectorAll('table')].every(t => t.parentElement.className === 'scroll')"
    )
    hidden = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.checkVisibility())"
        ".map(t => t.scrollWidth - t.parentElement.clientWidth)"
    )
    assert hidden
    size = page.viewport_size
    assert size is not None
    if size["width"] == WIDTHS["desktop"][0]:
        assert max(hidden) <= 0


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three seeds and five arms, with a failed job."""
    folder = tmp_path_factory.mktemp("fake")
    build_report([study(folder / "study")], folder / "report.html")
    return folder / "report.html"


SWEEPS = {"one": one_run, "two-by-two": two_by_two, "fifty": fifty_runs}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of 1 run, of 2 x 2 runs and of 50."""
    folder = tmp_path_factory.mktemp("sweeps")
    pages = {}
    for name, write in SWEEPS.items():
        pages[name] = folder / f"{name}.html"
        build_report([write(folder / name)], pages[name])
    return pages


STUDY = """
defaults: [config, {arm: null}, {override evaluation: samples}, _self_]
study:
  title: Lengths
  claims:
    some: {statement: SFT says something, measure: length/tokens, arm: SFT}
    nothing: {statement: SFT says nothing, measure: length/tokens, arm: SFT, more: false}
    # Only best-of-n has this measure.
    other: {statement: PPO drifts less, measure: kl/bound, arm: PPO, versus: SFT}
hydra:
  mode: MULTIRUN
  sweeper: {params: {arm: "sft,ppo", reward_model: "length,broken", seed: "1,2,3"}}
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small study that the engine ran: three seeds, claims that are decided, and
    jobs that fail."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "own").mkdir()
    (folder / "own" / "lengths.yaml").write_text(STUDY)
    (folder / "broken.py").write_text(BROKEN)
    words = (
        "--plugin",
        "broken.py",
        "-cd",
        "own",
        "-cn",
        "lengths",
        "debug=fast",
        "runtime.threads=1",
        "rollout.max_tokens=8",
    )
    assert preflab(folder, *words, BROKEN="1") == 1, (folder / "log.txt").read_text()[-3000:]
    (path,) = folder.glob("runs/lengths/*/report.html")
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["fake", "real"])
def test_it_reads_at_every_width_without_an_error(
    browser: Browser, request: pytest.FixtureRequest, which: str, width: str
) -> None:
    path: Path = request.getfixturevalue(which)
    opened = _open(browser, path, width)
    _take_screenshot(opened.page, f"{which}-{width}")
    _assert_readable(opened, path)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", SWEEPS)
def test_it_reads_with_one_run_four_and_fifty(
    browser: Browser, sweeps: dict[str, Path], which: str, width: str, dark: bool
) -> None:
    opened = _open(browser, sweeps[which], width, dark=dark)
    _take_screenshot(opened.page, f"{which}-{width}{'-dark' * dark}")
    _assert_readable(opened, sweeps[which])
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(24, 27, 32)" if dark else "rgb(255, 255, 255)")  # #181b20
    assert _corner(opened.page) == (DARK[PAPER] if dark else PAPER)


def _corner(page: Page) -> str:
    """The colour of the first picture in its top left corner, as it is shown."""
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(page.locator("figure img").first.screenshot()))
    red, green, blue = picture.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x}"


@pytest.mark.parametrize("which", SWEEPS)
def test_on_paper_it_is_light_and_nothing_is_cut(
    browser: Browser, sweeps: dict[str, Path], which: str
) -> None:
    """A4 without margins of 15 mm has 680 pixels."""
    page = _open(browser, sweeps[which], dark=True).page
    page.set_viewport_size({"width": 680, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    _take_screenshot(page, f"{which}-print")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert _corner(page) == PAPER
    assert not page.get_by_text("Data (CSV)").first.is_visible()
    assert len(page.pdf(format="A4")) > 50_000  # Chromium prints it


def test_the_data_behind_a_picture_can_be_saved(
    browser: Browser, sweeps: dict[str, Path], tmp_path: Path
) -> None:
    """Under the page's own content security policy."""
    opened = _open(browser, sweeps["two-by-two"])
    with opened.page.expect_download() as saving:
        opened.page.get_by_text("Data (CSV)").first.click()
    assert saving.value.suggested_filename == "true-utility-simulated-against-the-alignment-tax.csv"
    saving.value.save_as(tmp_path / "data.csv")
    head, *rows = (tmp_path / "data.csv").read_text().splitlines()
    assert head.startswith("arm,gold/gold,gold/gold low")
    assert [row.partition(",")[0] for row in rows] == ["coef=0", "coef=1"]
    assert opened.errors == []


def test_a_real_study_shows_its_claims_and_the_jobs_that_failed(
    browser: Browser, real: Path
) -> None:
    page = _open(browser, real).page
    failed, claims = page.locator("table").all()[:2]
    codes = [row.locator("td").all_inner_texts()[1:3] for row in failed.locator("tbody tr").all()]
    assert [code for code, _ in codes] == ["3"] * 6  # two arms, three seeds; an error of a plugin
    assert all("reward_model=broken" in overrides for _, overrides in codes)
    verdicts = {
        cells[0]: cells[1]
        for row in claims.locator("tbody tr").all()
        if (cells := row.locator("td").all_inner_texts())
    }
    # A response has some tokens in every seed: the whole interval is above 0.
    assert verdicts == {
        "SFT says something": "holds",
        "SFT says nothing": "fails",
        "PPO drifts less": "unanswered",
    }
    assert page.get_by_role("heading", name="6 jobs without a result").is_visible()
    caption = page.locator("figcaption").first.inner_text()
    assert "seeds 1, 2, 3; n per run: " in caption
    assert page.get_by_text("-cn lengths").count() == 1
    said = page.locator("p").nth(1).inner_text()
    assert said.startswith("Made with debug=fast:")  # before what came out
    assert said.endswith("Of 3 claims 1 holds, 1 fails and 1 is unanswered.")


def test_it_says_everything_with_scripts_turned_off(browser: Browser, fake: Path) -> None:
    page = _open(browser, fake, scripts=False).page
    headings = page.locator("h1, h2").all_inner_texts()
    expected = [
        "Results",
        "Reward against tax",
        "Win rates",
        "Learning curves",
        "Responses side by side",
        "Cost",
        "What was run",
    ]
    assert set(expected) <= set(headings)
    assert page.locator("tbody tr").first.is_visible()
    for arm in LADDER:
        assert page.get_by_text(arm, exact=True).first.is_visible()


def test_what_models_and_people_wrote_stays_text(browser: Browser, tmp_path: Path) -> None:
    """Without the content security policy too: escaping alone is sufficient."""
    folder = study(tmp_path / "s")
    write_run(folder / "77", f"arm {EVIL}", 1, [f"x={EVIL}"], results("SFT", 0.0))
    out = tmp_path / "report.html"
    build_report([folder], out)
    for trusting in (False, True):
        opened = _open(browser, out, trusting=trusting)
        assert opened.dialogs == []
        assert opened.errors == []
        assert opened.page.locator("script, iframe, object, embed, form, link, base").count() == 0
        assert opened.page.locator("img:not([src^='data:image/svg+xml;base64,'])").count() == 0
        assert opened.page.get_by_text('<script>alert("x")</script>').first.is_visible()
    # The check can fail: the same text unescaped opens a dialog.
    out.write_text(f"<!doctype html><title>x</title>{EVIL}")
    assert _open(browser, out, trusting=True).dialogs
