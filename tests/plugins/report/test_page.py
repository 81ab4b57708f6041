"""The HTML page: what is in it, and that nothing from a file becomes markup."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from fake_study import EVIL, results, study, write_run
from fake_sweep import two_by_two
from preflab_builtin.report.build import build_report
from preflab_builtin.report.markdown import ladder_markdown
from preflab_builtin.report.page import environment
from preflab_builtin.report.terminal import report_text

pytestmark = pytest.mark.slow


class _Page(html.parser.HTMLParser):
    """The tags, their attributes and the visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, "tags are not nested"

    def handle_data(self, data: str) -> None:
        self.text += data


def _unescaped_bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def test_nothing_from_a_file_becomes_markup(tmp_path: Path) -> None:
    evil_arm = f"arm {EVIL}"
    write_run(study(tmp_path / "s") / "77", evil_arm, 1, [f"x={EVIL}"], results("SFT", 0.0))
    out = tmp_path / "report.html"
    report = build_report([tmp_path / "s"], out)
    page = _Page(out.read_text(encoding="utf8"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "link", "form", "base", "svg"}
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) >= 4
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    # Visible as text: samples, arm, ledger, overrides.
    assert page.text.count('<script>alert("x")</script>') > 10
    assert "\x1b" not in out.read_text(encoding="utf8")
    assert not page.open
    text = report_text(report, out)
    assert "\x1b" not in text
    assert "[bold]b" in text  # not markup of rich either
    head, *rows = ladder_markdown(report.arms).splitlines()
    for line in rows:
        assert _unescaped_bars(line) == _unescaped_bars(head)
        assert "<script" not in line.replace("\\<", "")


def test_a_template_escapes_without_being_asked_to() -> None:
    # < > and quotes are written out, control characters become a space, and line breaks stay.
    template = environment().from_string("<p title='{{ text }}'>{{ text }}</p>")
    text = "&lt;b&gt; &#39;&#34;\n "
    assert template.render(text="<b> '\"\n\x1b\u202e") == f"<p title='{text}'>{text}</p>"
    with pytest.raises(UndefinedError):  # a name that is misspelled is not shown as nothing
        template.render(txt="")


def test_the_page_needs_nothing_from_outside_and_reads_on_a_phone(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    build_report([study(tmp_path / "s", seeds=(1,))], out)
    text = out.read_text(encoding="utf8")
    page = _Page(text)
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|url\(|@import", text)
    links = [attributes for tag, attributes in page.tags if tag == "a"]
    assert links
    assert all((link["href"] or "").startswith("data:text/csv;") for link in links)
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    assert any(meta.get("name") == "viewport" for meta in metas)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in metas)
    for tag, attributes in page.tags:
        if tag == "img":
            assert len(attributes["alt"] or "") > 40  # says in words what the picture shows
    assert len(text) < 3_000_000


@pytest.mark.slow
def test_every_figure_names_seeds_and_n_and_the_page_names_its_command_once(
    tmp_path: Path,
) -> None:
    folder = study(tmp_path / "s", seeds=(1, 2))
    for path in folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text()) | {"command": ["/any/preflab", "-cn", "ladder"]}
        path.write_text(json.dumps(manifest))
    build_report([folder], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption></figure>", page, re.DOTALL)
    assert len(captions) == page.count("<img ") >= 6
    everybody = "Arms base, SFT, best-of-n, PPO, PPO-ptx; seeds 1, 2; n per run: "
    trained = "Arms PPO, PPO-ptx; seeds 1, 2; n per run: "
    texts = [caption.partition(" <a ")[0] for caption in captions]
    assert texts[0].endswith(f"{everybody}400 (gold/gold), 400 (families/mean).")
    assert texts[1].endswith(f"{everybody}400 (reward/proxy), 400 (families/mean).")
    assert texts[3].endswith(f"{everybody}400 (win_rate/labelers).")
    assert texts[4].endswith(f"{trained}25 steps.")  # learning curves: the others have no algorithm
    assert texts[-1].endswith(f"{trained}25 iterations.")
    assert page.count("preflab -cn ladder") == 1


def test_what_was_left_out_stands_after_the_results(tmp_path: Path) -> None:
    build_report([two_by_two(tmp_path / "s")], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    places = [page.index(text) for text in ("<h2>Claims", "<h2>Results", "4 dropped (private)")]
    assert places == sorted(places)
    # What came out is the first paragraph, before everything else.
    assert "Both claims hold." in page[: page.index("<h2>")]


def test_a_study_in_which_everything_failed_has_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "0", "PPO", 1, [], None, status="failed")
    report = build_report([tmp_path / "s"], tmp_path / "r.html")
    assert "No result" in report_text(report, tmp_path / "r.html")
    assert "1 job without a result" in (tmp_path / "r.html").read_text()


def test_a_single_run_without_arm_or_evaluation(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "", 1, ["algorithm=ppo", "seed=1"], None)
    report = build_report([tmp_path / "run"], tmp_path / "run" / "report.html")
    # There is no other arm to distinguish it from: it has the config's name.
    assert [arm.label for arm in report.arms] == ["ladder"]
    assert "No run has measured anything" in (tmp_path / "run" / "report.html").read_text()


def test_what_was_not_counted_has_no_column(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, [], results("SFT", 0.0))
    manifest = json.loads((tmp_path / "0" / "manifest.json").read_text())
    for row in manifest["stages"]:
        row["cost"] = {"seconds": 1.0}
    (tmp_path / "0" / "manifest.json").write_text(json.dumps(manifest))
    build_report([tmp_path], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<h2>Cost</h2>" in page
    assert "FLOPs" not in page
    assert "tokens</th>" not in page.partition("<h2>Cost</h2>")[2]
