"""The report on run folders that are written here: what stands in the page, what is escaped, what is averaged."""

from __future__ import annotations

import html.parser
import json
import re
import struct
from pathlib import Path

import pytest

from fake_study import EVIL, LADDER, results, study, write_run
from preflab.errors import UserError
from preflab_builtin import report as plugin
from preflab_builtin.report.arms import Arm, arms, combined
from preflab_builtin.report.build import build_report, report_text
from preflab_builtin.report.costs import iteration_times
from preflab_builtin.report.markdown import ladder_markdown
from preflab_builtin.report.plots import (
    Picture,
    best_of_n,
    drift,
    iterations,
    learning_curves,
    scatters,
    win_rates,
)
from preflab_builtin.report.runs import Measured, RunResult, gather
from preflab_builtin.report.tables import columns, ladder_table


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
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert (
        page.text.count('<script>alert("x")</script>') > 10
    )  # visible as text: samples, arm, ledger, overrides
    assert "\x1b" not in out.read_text(encoding="utf8")
    assert not page.open
    text = report_text(report, out)
    assert "\x1b" not in text
    assert "[bold]b" in text  # shown as it is: no markup for rich either
    for line in ladder_markdown(report.arms).splitlines():
        assert len(re.findall(r"(?<!\\)\|", line)) == len(
            re.findall(r"(?<!\\)\|", ladder_markdown(report.arms).splitlines()[0])
        )
        assert "<script" not in line.replace("\\<", "")


def test_the_page_needs_nothing_from_outside_and_reads_on_a_phone(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    build_report([study(tmp_path / "s", seeds=(1,))], out)
    text = out.read_text(encoding="utf8")
    page = _Page(text)
    assert not re.search(r"(src|href)=[\"']?(https?:|//)|url\(|@import", text)
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    assert any(meta.get("name") == "viewport" for meta in metas)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in metas)
    for tag, attributes in page.tags:
        if tag == "img":
            assert len(attributes["alt"] or "") > 40  # says in words what the picture shows
    assert len(text) < 3_000_000


def test_the_ladder_has_one_row_an_arm_with_means_over_seeds(tmp_path: Path) -> None:
    report = build_report([study(tmp_path / "s")], tmp_path / "report.html")
    assert [arm.label for arm in report.arms] == list(LADDER)
    ppo = next(arm for arm in report.arms if arm.label == "PPO")
    assert ppo.seeds == [1, 2, 3]
    # shifts -0.02, 0, 0.02: mean 1.32, s = 0.02, t(2, .975) = 4.3027: half-width 4.3027 * 0.02 / sqrt(3) = 0.04968
    proxy = ppo.measures["reward/proxy"]
    assert proxy.value == pytest.approx(1.32)
    assert proxy.high is not None
    assert proxy.high - proxy.value == pytest.approx(0.04968, abs=1e-4)
    assert proxy.n == 3
    assert "reward_accuracy/proxy/matched" not in ppo.measures  # null: nothing was measured
    headings = [column.heading for column in columns(report.arms)]
    for heading in (
        "proxy reward",
        "gold",
        "KL, nats",
        "length",
        "ended",
        "mean",
        "addition",
        "loss",
    ):
        assert heading in headings
    assert "win" not in headings


def test_the_terminal_table_says_what_the_page_says(tmp_path: Path) -> None:
    text = plugin.preflab_report(
        folders=[study(tmp_path / "s", seeds=(1,))], out=tmp_path / "report.html"
    )
    assert max(map(len, text.splitlines()[:20])) <= 160
    row = next(line for line in text.splitlines() if line.strip().startswith("best-of-n"))
    assert "≤ 0.64" in row  # a bound, and no estimate
    assert "57.0 %" in row  # win rate .59, less the shift of seed 1
    assert "simulated" in text
    assert "nothing about other seeds" in text
    assert f"Report: {tmp_path / 'report.html'}" in text


def test_narrow_terminals_get_one_column_an_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preflab_builtin.report.build.WIDTH_OF_A_FILE", 90)
    text = plugin.preflab_report(
        folders=[study(tmp_path / "s", seeds=(1,))], out=tmp_path / "report.html"
    )
    heads = [
        line.split()
        for line in text.splitlines()
        if any(line.split()[-1:] == [arm] for arm in LADDER)
    ]
    assert [arm for head in heads for arm in head] == list(
        LADDER
    )  # several tables, no arm twice, none cut short
    assert max(len(line) for line in text.splitlines()[:20]) <= 90
    assert "…" not in "".join(text.splitlines()[:40])


def test_failures_are_told_once_and_from_the_ledger_first(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1,))
    write_run(folder / "40", "PPO", 1, ["seed=1"], None, status="running")
    (folder / "41").mkdir()
    (folder / "41" / "manifest.json").write_text("{half a manif")
    gathered = gather([folder])
    assert [(f.folder.name, f.exit_code) for f in gathered.failures] == [
        ("5", 5),
        ("40", None),
        ("41", None),
    ]
    assert "not finite" in gathered.failures[0].error
    assert len(gathered.runs) == 5
    page = (build_report([folder], tmp_path / "r.html"), (tmp_path / "r.html").read_text())[1]
    assert "3 jobs without a result" in page


def test_a_study_in_which_everything_failed_still_has_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "0", "PPO", 1, [], None, status="failed")
    text = report_text(build_report([tmp_path / "s"], tmp_path / "r.html"), tmp_path / "r.html")
    assert "No result" in text


def test_a_single_run_without_arm_orevaluation(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "", 1, ["algorithm=ppo", "seed=1"], None)
    report = build_report([tmp_path / "run"], tmp_path / "run" / "report.html")
    assert [arm.label for arm in report.arms] == [
        "ladder"
    ]  # nothing to tell it apart from: the config's name
    assert "No run has measured anything" in (tmp_path / "run" / "report.html").read_text()


def test_no_run_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json"):
        build_report([tmp_path], tmp_path / "r.html")


def test_arms_that_differ_in_more_than_the_seed_are_kept_apart(tmp_path: Path) -> None:
    for i, (seed, coef) in enumerate([(1, 0.1), (2, 0.1), (1, 0.2)]):
        words = ["arm=ppo", f"seed={seed}", f"algorithm.kl.coef={coef}", "algorithm.seed=3"]
        write_run(tmp_path / str(i), "PPO", seed, words, results("PPO", 0.0))
    write_run(
        tmp_path / "9",
        "PPO",
        1,
        ["arm=ppo", "seed=1", "algorithm.kl.coef=0.1", "data.seed=5"],
        results("PPO", 0.0),
    )
    found = arms(gather([tmp_path]).runs)
    assert [(arm.label, arm.seeds) for arm in found] == [
        ("PPO (algorithm.kl.coef=0.1)", [1, 2]),
        ("PPO (algorithm.kl.coef=0.2)", [1]),
        ("PPO (algorithm.kl.coef=0.1 data.seed=5)", [1]),  # another world is not another seed
    ]


def test_runs_without_arms_are_named_by_what_differs(tmp_path: Path) -> None:
    for i, words in enumerate(
        [["data=x"], ["data=x", "algorithm=ppo"], ["data=x", "algorithm=ppo_ptx", "seed=2"]]
    ):
        write_run(tmp_path / str(i), "", 1, words, None)
    assert [arm.label for arm in arms(gather([tmp_path]).runs)] == [
        "ladder",
        "algorithm=ppo",
        "algorithm=ppo_ptx",
    ]


def test_stages_that_all_seeds_share_are_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / str(seed), "PPO", seed, [f"seed={seed}"], results("PPO", 0.0))
        path = tmp_path / str(seed) / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["stages"][0]["recipe"] = "one and the same"
        path.write_text(json.dumps(manifest))
    report = build_report([tmp_path], tmp_path / "r.html")
    assert any("share one pretrain:" in note for note in report.notes)


def test_costs_count_each_result_once(tmp_path: Path) -> None:
    report = build_report([study(tmp_path / "s", seeds=(1, 2))], tmp_path / "r.html")
    # the first arms have no algorithm: its place among the stages is that of the runs that have one
    assert [c.stage for c in report.costs] == ["pretrain", "sft", "algorithm", "evaluation"]
    found = {(c.stage, c.component): c for c in report.costs}
    pretrain = found["pretrain", "documents"]
    # 2 seeds, made by the base arm at 10 s each and reused by the other 4 arms
    assert (pretrain.artifacts, pretrain.computed, pretrain.reused, pretrain.total) == (
        2,
        2,
        8,
        20.0,
    )
    # 1.5 million tokens and 2e12 operations each, once a seed
    assert (pretrain.tokens, pretrain.flops, pretrain.peak_mb) == (3e6, 4e12, 512)
    page = (tmp_path / "r.html").read_text()
    for heading in ("tokens", "FLOPs", "peak MB"):
        assert f"<th>{heading}</th>" in page
    assert "<td>3 M</td><td>4 T</td><td>512</td>" in page


def test_what_nobody_counted_is_no_column(tmp_path: Path) -> None:
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


def test_where_an_iterations_time_goes(tmp_path: Path) -> None:
    found = arms(gather([study(tmp_path / "s", seeds=(1, 2))]).runs)
    (picture,) = iterations(found)
    # the fake logs say the same in each of 25 iterations of 2 seeds of 2 arms
    assert (
        "PPO: rollout 0.50 s, scoring 0.10 s, old log probs 0.20 s, update 0.75 s, other 0.05 s; 25.0 %"
        in picture.alt
    )
    assert "PPO-ptx: rollout 0.50 s" in picture.alt
    assert "update 1.25 s" in picture.alt
    assert "SFT" not in picture.alt  # it has no algorithm
    assert picture.caption.startswith("Mean over 100 iterations.")
    times = iteration_times([found[3]])
    assert (times[0].share, times[0].iterations) == (0.25, (25, 25))


def test_runs_judged_differently_are_pointed_out(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, [], results("SFT", 0.0))
    write_run(tmp_path / "1", "PPO", 1, [], {**results("PPO", 0.0), "n": 8})
    report = build_report([tmp_path], tmp_path / "r.html")
    assert any("not all runs were judged alike" in note.lower() for note in report.notes)


def test_fast_runs_are_marked_as_meaningless(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, ["debug=fast"], results("SFT", 0.0))
    assert not any(
        "debug=fast" in note for note in build_report([tmp_path], tmp_path / "r.html").notes
    )
    (tmp_path / "0" / ".hydra").mkdir()
    (tmp_path / "0" / ".hydra" / "config.yaml").write_text("seed: 1\nfast: true\n")
    assert any("debug=fast" in note for note in build_report([tmp_path], tmp_path / "r.html").notes)


def test_combined_of_one_run_is_its_own_interval() -> None:
    run = RunResult(Path("x"), "c", "a", (), 1, (), {"m": Measured(0.5, 0.4, 0.6, 400)})
    assert combined([run]) == {"m": Measured(0.5, 0.4, 0.6, 400)}


def test_intervals_of_shares_end_at_0_and_1() -> None:
    runs = [
        RunResult(Path("x"), "c", "a", (), i, (), {"win_rate/gold": Measured(v), "m": Measured(v)})
        for i, v in ((1, 0.2), (2, 0.8))
    ]
    found = combined(runs)
    # mean .5, s = .4243, t(1, .975) = 12.706: half-width 3.81
    assert found["m"].high == pytest.approx(0.5 + 12.7062 * 0.3, abs=1e-3)
    assert (found["win_rate/gold"].low, found["win_rate/gold"].high) == (0.0, 1.0)


def test_runs_that_all_say_one_have_the_interval_of_one_of_them() -> None:
    # No spread between seeds is no certainty: .9 to 1 and .8 to 1, on the same questions, are .85 to 1. Without such
    # intervals nothing is known but that the seeds agree.
    measures = [
        {"families/mean": Measured(1.0, low, 1.0, 64), "m": Measured(1.0)} for low in (0.9, 0.8)
    ]
    found = combined([RunResult(Path("x"), "c", "a", (), i, (), m) for i, m in enumerate(measures)])
    assert found["families/mean"].low == pytest.approx(0.85)
    assert (found["families/mean"].value, found["families/mean"].high) == (1.0, 1.0)
    assert found["m"] == Measured(1.0, 1.0, 1.0, 2)


def _size(picture: Picture) -> tuple[int, int]:
    assert picture.png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture.png[16:24])
    return width, height


def test_pictures_show_what_their_text_says(tmp_path: Path) -> None:
    found = arms(gather([study(tmp_path / "s")]).runs)
    pictures = [
        *scatters(found, {"RL": ["PPO", "PPO-ptx", "absent"]}),
        *win_rates(found),
        *learning_curves(found),
    ]
    assert [_size(p)[0] for p in pictures] == [
        780
    ] * 5  # 5.2 inches at 150 dots: utility, reward; win rate; reward, KL
    assert "PPO-ptx: 84.0 %" in pictures[0].alt
    assert "PPO from" in pictures[3].alt
    assert "base" not in pictures[3].alt  # it has no algorithm


def test_curves_of_a_log_without_the_metric_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "SFT", 1, [], results("SFT", 0.0))
    assert learning_curves(arms(gather([tmp_path]).runs)) == []


def test_the_rich_table_is_the_same_for_callers(tmp_path: Path) -> None:
    found = arms(gather([study(tmp_path / "s", seeds=(1,))]).runs)
    assert ladder_table(found).row_count == 5
    assert ladder_markdown(found).count("\n") == 6


def test_an_interval_stays_where_shares_can_be_and_that_of_a_difference_does_not(
    tmp_path: Path,
) -> None:
    # Two seeds: mean 0, s = 0.1, t(1, .975) = 12.706: half-width 12.706 * 0.1414 / sqrt(2) = 1.2706.
    names = ("labeler_groups/training", "labeler_groups/gap", "calibration/proxy/loss")
    runs = [
        RunResult(tmp_path, "c", "A", (), i, (), {n: Measured(v) for n in names})
        for i, v in enumerate((-0.1, 0.1))
    ]
    bounds = {name: (m.low, m.high) for name, m in combined(runs).items()}
    assert bounds["labeler_groups/training"] == (0.0, 1.0)
    assert (
        bounds["labeler_groups/gap"]
        == bounds["calibration/proxy/loss"]
        == pytest.approx((-1.2706, 1.2706), abs=1e-4)
    )


def test_a_measure_that_nobody_placed_is_a_column_too() -> None:
    # A third party's evaluator, labeler groups (shares), calibration beside accuracy; a curve's points are a picture's.
    names = (
        "mine/bits_a_word",
        "labeler_groups/held_out",
        "reward_accuracy/proxy/all",
        "calibration/proxy/loss",
        "best_of/4/gold",
        "stereotypes/plain/entropy",
        "stereotypes/plain/entropy/gender",  # one of many groups: among all measures only
    )
    arm = Arm("A", (), (), {name: Measured(0.5) for name in names})
    found = {(c.group, c.heading): c.value(arm) for c in columns([arm])}
    assert found == {
        ("Pairs ordered right", "proxy"): "50.0 %",
        ("Calibration", "proxy/loss"): "0.500",
        ("Mine", "bits a word"): "0.500",
        ("Labeler groups", "held out"): "50.0 %",
        ("Stereotypes", "plain/entropy"): "0.500",
    }


def test_best_of_n_is_a_curve_over_n_in_its_order() -> None:
    # n = 1, 4, 16 with KL log n - (n - 1) / n = 0, 0.636, 1.835; measures stand in the order of their names, 16 before 4.
    names = {"kl": (0.0, 1.835, 0.636), "reward": (0.0, 0.8, 0.6), "gold": (0.4, 0.44, 0.53)}
    measures = {
        f"best_of/{n}/{of}": Measured(v[i])
        for of, v in names.items()
        for i, n in enumerate((1, 16, 4))
    }
    arm = Arm("A", (), (), measures)
    assert best_of_n(arm) == [
        (1, 0.0, 0.0, 0.4),
        (4, pytest.approx(0.797, abs=1e-3), 0.6, 0.53),
        (16, pytest.approx(1.355, abs=1e-3), 0.8, 0.44),
    ]
    (picture,) = drift([arm])
    assert "best of 16 at 1.35: proxy 0.80, truth 0.44" in picture.alt
    assert best_of_n(Arm("B", (), (), {"best_of/4/kl": Measured(1.0)})) == []  # no truth, no curve


def test_arms_with_an_sft_of_their_own_do_not_share_a_win_rate(tmp_path: Path) -> None:
    # Every arm of the fixture is compared with the SFT of its seed; then one arm's SFT is another one.
    folder = study(tmp_path / "s", seeds=(1, 2))
    assert not any(
        "share one SFT" in note for note in build_report([folder], tmp_path / "r.html").notes
    )
    path = folder / "8" / "manifest.json"
    manifest = json.loads(path.read_text())
    next(row for row in manifest["stages"] if row["stage"] == "sft")["recipe"] = (
        "from another width"
    )
    path.write_text(json.dumps(manifest))
    assert any(
        "Arms of one seed do not share one SFT" in note
        for note in build_report([folder], tmp_path / "r.html").notes
    )
