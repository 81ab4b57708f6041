"""The manuals tell the truth: what they name exists; commands and code of README.md work."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab.composing import search_path
from preflab.composing.compose import compose, parse
from preflab.door import discovery
from preflab.planning.asking import inspect
from preflab.planning.reading import check_jobs

ROOT = Path(__file__).parents[1]
MANUALS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "build", "runs", "artifacts"} & set(path.relative_to(ROOT).parts)
)
README = (ROOT / "README.md").read_text(encoding="utf8")
PAPER = (ROOT / "plugins" / "PAPER.md").read_text(encoding="utf8")
EQUATIONS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in PAPER.splitlines()
    if line.startswith("| ") and "`" in line
]


def _section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


COMMANDS = re.findall(
    r"^    (preflab .*?)(?:  +#.*)?$", _section("Compose a run"), flags=re.MULTILINE
)


def _resolve(name: str) -> object:
    """The object of a dotted name: a module and attributes of it."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[split:]:
            value = getattr(value, attribute)
        return value
    raise AssertionError(f"{name} is not a module")


@pytest.mark.slow
@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: str(row[0])[:40])
def test_an_equation_leads_to_function_key_and_test(row: tuple[str, ...]) -> None:
    _, functions, keys, tests = row
    for name in re.findall(r"`([^`]+)`", functions):
        assert _resolve(name) is not None
    for key in re.findall(r"`([^`]+)`", keys):
        if "=" in key:
            compose([key])
        else:
            config = compose(["algorithm=ppo_ptx"])
            value = OmegaConf.select(config, key, throw_on_missing=True, default="absent")
            assert value != "absent", key
    paths = re.findall(r"`([^`]+)`", tests)
    assert paths
    for path in paths:
        file, _, function = path.partition("::")
        text = (ROOT / file).read_text(encoding="utf8")
        assert re.search(rf"^def {function}\(", text, re.MULTILINE), path


def test_there_are_equations_and_commands() -> None:
    assert len(EQUATIONS) >= 20
    assert len(COMMANDS) >= 5
    assert README.count("\n") <= 110


def test_the_lines_of_one_section_overwrite_no_file_of_another() -> None:
    files = [
        set(re.findall(r"[\w]+\.jsonl", _section(title)))
        for title in ("Your own data", "From Python")
    ]
    assert all(files)
    assert not set.intersection(*files)


def test_the_time_of_the_quickstart_says_for_which_machine() -> None:
    (line,) = re.findall(r"^    make quickstart .*", README, re.MULTILINE)
    assert line.endswith("minutes on two idle cores")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_printed_command_composes(command: str) -> None:
    assert all(job.run.stages for job in check_jobs(parse(shlex.split(command)[1:])))


def test_own_data_is_read_by_the_printed_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = re.findall(r"^    (.*)", _section("Your own data"), re.MULTILINE)
    *shell, command = lines
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    subprocess.run(["bash", "-c", "\n".join(shell)], check=True)
    words = shlex.split(command)[1:]
    words = [w for w in words if not w.startswith("policy")]  # FOLDER stands for any model folder
    (job,) = check_jobs(parse([*words, "policy=tiny", "pretrain=none"]))
    assert job.run.counts() == {"prompts": 30, "rankings": 30}
    assert [stage.name for stage in job.run.stages] == ["reward_model", "algorithm", "evaluation"]
    assert [notice for choice in job.run.all_choices() for notice in inspect(choice).notices] == []


def test_the_plugin_of_ten_lines_is_a_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = "\n".join(re.findall(r"^(?:    (.*)|)$", _section("Your own plugin"), re.MULTILINE))
    code, _, command = block.partition("preflab --plugin")
    (tmp_path / "my_rewards.py").write_text(code, encoding="utf8")
    monkeypatch.chdir(tmp_path)
    words, variables = discovery.take_plugin_flags(shlex.split(f"--plugin{command}"), {})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    search_path.registry.cache_clear()
    try:
        (job,) = check_jobs(parse(words))
        assert job.run.choices["reward_model"].name == "short"
    finally:
        search_path.registry.cache_clear()


@pytest.mark.slow
def test_the_printed_study_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "sweeps" / "README.md").read_text(encoding="utf8")
    text = page.partition("## A study file\n")[2].partition("\n**Arms")[0]
    file, *lines = [line[4:] for line in text.strip("\n").splitlines()]
    monkeypatch.chdir(tmp_path)
    path = Path(file.removeprefix("# ").partition(";")[0])
    path.parent.mkdir()
    path.write_text("\n".join(lines), encoding="utf8")
    jobs = check_jobs(parse(shlex.split(file.partition(" with preflab ")[2])))
    study = jobs[0].run.study
    assert len(jobs) == 9
    assert study is not None
    assert list(study.claims) == ["less_kl_more_reward"]


def test_a_fact_leads_to_tests_that_are_there() -> None:
    table = (ROOT / "tests" / "README.md").read_text(encoding="utf8").partition("| fact |")[2]
    rows = [line.strip("|").split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]
    assert len(rows) >= 14
    for fact, files, tests in rows:
        texts = [
            (ROOT / file).read_text(encoding="utf8") for file in re.findall(r"`([^`]+)`", files)
        ]
        found = [set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)) for text in texts]
        named = set(re.findall(r"`([^`]+)`", tests))
        assert named, fact
        assert named <= set().union(*found), fact
        assert all(named & own for own in found), fact  # no file without a test of its own


def anchors(page: Path) -> set[str]:
    """What links into a page may name: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MANUALS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_of_a_manual_exist(page: Path) -> None:
    text = re.sub(r"^ {4}.*$", "", page.read_text(encoding="utf8"), flags=re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    paths = re.findall(r"`((?:framework|plugins|conf|sweeps|tests)/[\w./-]+\.(?:py|md|yaml))", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [a for a in re.findall(r"\]\(#([^)]+)\)", text) if a not in anchors(page)]
    missing += [
        f"{link}#{a}"
        for link, a in re.findall(r"\]\((?!https?:)([^)#]+\.md)#([^)]+)\)", text)
        if (page.parent / link).exists() and a not in anchors(page.parent / link)
    ]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
