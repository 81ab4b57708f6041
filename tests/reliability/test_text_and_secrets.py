"""Text of third parties stays text wherever it is shown; no file of a run holds a secret."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest

import fake_study
from end_to_end.runs import preflab
from preflab import UserError
from preflab.composing.untrusted import refuse_environment, refuse_secrets
from preflab_builtin.report.build import build_report
from preflab_builtin.report.terminal import report_text

# --- markup

PAYLOADS = (
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)>",
        "<iframe src=javascript:alert(1)>",
    ),
    *(
        '"><script>alert(1)</script>',
        "'><img src=x onerror=alert(1)>",
        "</pre><script>alert(1)</script>",
        "</td></table><b>",
    ),
    *(
        "</title><script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "<!--<script>",
        "--><script>alert(1)</script>",
    ),
    *(
        "<a href=javascript:alert(1)>x</a>",
        "<form action=//evil><input>",
        "<base href=//evil/>",
        "<meta http-equiv=refresh>",
    ),
    *(
        "<link rel=stylesheet href=//evil>",
        "<object data=//evil>",
        "<embed src=//evil>",
        "<math><mi//xlink:href=x>",
    ),
    *(
        "<ScRiPt>alert(1)</ScRiPt>",
        "<script\n>alert(1)</script>",
        "&lt;script&gt;",
        "<details open ontoggle=alert(1)>",
    ),
    *(
        "<![CDATA[<script>]]>",
        "<b style=x:expression(1)>",
        "<video><source onerror=alert(1)>",
        "\x1b[31mred\x1b[0m",
    ),
    *(
        "\u202egnp.exe",
        "[red]rich[/red]",
        "=cmd|' /C calc'!A0",
        "**bold** [x](javascript:alert(1))",
    ),
)


class _Page(html.parser.HTMLParser):
    """Tags, attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_there_are_enough_of_them() -> None:
    assert len(PAYLOADS) >= 25


def test_markup_of_third_parties_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All payloads in prompts, responses, tags, arms, overrides, plugin (component) names, run
    folders, counts and errors."""
    everything = " ".join(PAYLOADS)
    monkeypatch.setattr(fake_study, "EVIL", everything)
    folder = fake_study.study(tmp_path / "s", seeds=(1,))
    fake_study.write_run(
        folder / "90", everything, 1, [f"x={p}" for p in PAYLOADS], fake_study.results("PPO", 0.0)
    )
    for run in folder.glob("*/summary.json"):
        summary = json.loads(run.read_text())
        counts = {
            "records": {everything: {"total": 1, "dropped": {everything: 1}}},
            "accounting": {everything: {everything: 1}},
        }
        run.write_text(json.dumps(summary | counts))
    manifest = json.loads((folder / "90" / "manifest.json").read_text())
    for stage in manifest["stages"]:
        stage["name"] = everything
    (folder / "90" / "manifest.json").write_text(
        json.dumps(manifest | {"command": ["preflab", *PAYLOADS]})
    )
    out = tmp_path / "r.html"
    report = build_report([folder], out)
    text = out.read_text(encoding="utf8")
    page = _Page(text)
    allowed = "html head meta title style body h1 h2 h3 p code div table thead tbody tr th td "
    allowed += "small span figure img figcaption "
    assert page.tags <= set(f"{allowed} pre b br details summary a".split())
    # The only links are the data of pictures, in the page itself.
    assert page.links
    assert all(link.startswith("data:text/csv;") for link in page.links)
    assert not any(name.startswith("on") for name in page.attributes)
    assert page.attributes <= {
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "class",
        "style",
        "alt",
        "src",
        "colspan",
        "href",
        "download",
        "aria-hidden",
    }
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    for payload in PAYLOADS:
        visible = re.sub("[\x1b\u202e\n]", " ", payload)
        assert page.text.replace("\n", " ").count(visible) > 5, payload
    terminal = report_text(report, out)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", terminal)
    assert "<script" not in out.with_suffix(".md").read_text(encoding="utf8").replace("\\<", "")


# --- secrets


@pytest.mark.parametrize(
    "key",
    "api_key apikey API_KEY hf_token access_token token secret client_secret password passwd "
    "private_key credentials".split(),
)
def test_a_secret_in_a_config_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(UserError, match=f"judge.{key} holds a secret in the clear") as refused:
        refuse_secrets({"judge": {key: "canary-51c9e2"}})
    assert "canary" not in str(refused.value)
    refuse_secrets({"judge": {key: None, f"{key}_env": "JUDGE_KEY"}, key: ""})


def test_what_only_sounds_like_one_is_allowed() -> None:
    refuse_secrets(
        {
            "max_tokens": "8",
            "tokenizer": "words",
            "use_cls_token": "x",
            "tokens": "a",
            "key": "b",
            "loss_on": "prompt",
        }
    )
    refuse_environment({"OMP_NUM_THREADS": 1, "NCCL_DEBUG": "INFO"})


ASKING = """
from dataclasses import dataclass
from preflab import Component, hookimpl, option


@dataclass
class Config:
    name: str = option("asking", "component")
    api_key: str | None = option(None, "of the service", affects_result=False)
    api_key_env: str = option("PREFLAB_CANARY", "variable that holds it")


class Judge:
    def __init__(self, config):
        import os

        self.key = os.environ[config.api_key_env]

    def score(self, rollout):
        import torch

        none = len(self.key) - len(self.key)
        return torch.tensor([float(len(text) % 7 + none) for text in rollout.texts])


@hookimpl
def preflab_components():
    build = lambda config, context: Judge(config)
    return [Component("reward_model", "asking", Config, build=build)]
"""


def test_a_run_leaves_no_secret_of_the_environment(tmp_path: Path) -> None:
    """A canary in the environment, used by a component, through all stages; then every byte of
    every file is looked at."""
    canary = "canary-51c9e2-71d0"
    (tmp_path / "asking.py").write_text(ASKING)
    words = (
        "--plugin",
        "asking.py",
        "reward_model=asking",
        "debug=fast",
        "checkpoint.every_steps=1",
        "runtime.threads=1",
    )
    assert preflab(tmp_path, *words, PREFLAB_CANARY=canary, HF_TOKEN=canary) == 0, (
        tmp_path / "log.txt"
    ).read_text()[-2000:]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    kinds = {path.name.split(".")[0] for path in files} | {path.suffix for path in files}
    assert {"events", "report", "config", "summary", "samples", ".html", ".safetensors"} <= kinds
    assert [path for path in files if canary.encode() in path.read_bytes()] == []
    before = len(files)
    code = preflab(
        tmp_path, *words, f"reward_model.api_key={canary}", "seed=7", PREFLAB_CANARY=canary
    )
    assert code == 2
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == before
    assert canary not in (tmp_path / "log.txt").read_text()
