"""Components that do not fit each other are refused before any work."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import PluginError, UserError
from preflab.composing.compose import compose
from preflab.door import discovery
from preflab.door.registry import Registry
from preflab.planning.checks import check_unchanged
from preflab.planning.reading import job_of, read

PROGRAMMATIC = ("reward_model=length", "algorithm=ppo", "evaluation=none")


def _registry(*needs: str) -> Registry:
    """The installed plugins, with a PPO that says it needs something else."""
    registry = discovery.load()
    component, plugin = registry._components["algorithm", "ppo"]
    registry._components["algorithm", "ppo"] = (
        dataclasses.replace(component, needs=lambda config: needs),
        plugin,
    )
    return registry


def _stages(registry: Registry, *words: str) -> dict[str, str]:
    """Recipe ids by stage."""
    config: Any = OmegaConf.to_container(compose([*PROGRAMMATIC, *words]), resolve=True)
    return {stage.name: stage.recipe_id for stage in read(config, registry).stages}


def test_without_anybody_who_ranks_it_is_refused() -> None:
    with pytest.raises(
        UserError, match="algorithm=ppo needs rankings, but data=microworld has none"
    ):
        _stages(_registry("rankings"), "comparisons=none")


@pytest.mark.parametrize(
    "need, words, says",
    [
        (
            "pretrained",
            ("pretrain=none",),
            "needs a policy with pretrained weights, but policy=tiny starts from random ones",
        ),
        ("labeler", ("labeler=none",), "asks people, but labeler=none"),
        ("labeler:any", ("labeler=none",), "asks people, but labeler=none"),
        (
            "labeler:any",
            ("labeler=people", "evaluation=none"),
            "asks people what they think of responses that nobody has shown them, but "
            "labeler=people knows only what its people have said of others",
        ),
        (
            "gold",
            (
                "data=files",
                "data.documents={file}",
                "data.prompts={file}",
                "policy.tokenizer=bytes",
                "sft=none",
            ),
            "true utility .* Choose another algorithm, or data=microworld",
        ),
        ("ratings", (), "labeler=simulated ranks without rating: set labeler.ratings=true"),
        ("reward_model", ("reward_model=none",), "needs a reward model, but reward_model=none"),
        (
            "reward_model:members",
            ("reward_model=kwise",),
            "needs the rewards of several members.*reward_model=kwise gives one for all",
        ),
        (
            "reward_model:variance",
            ("reward_model=kwise",),
            "says how much people differ.*Choose reward_model=kwise_mean_variance",
        ),
        (
            "demonstrations",
            ("data=files", "data.documents={file}", "data.prompts={file}", "sft=none"),
            "needs demonstrations",
        ),
    ],
)
def test_what_is_missing_is_said_before_any_work(
    tmp_path: Path, need: str, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "text": "a b"}\n')
    with pytest.raises(UserError, match=says):
        _stages(_registry(need), *(word.format(file=tmp_path / "rows.jsonl") for word in words))


def test_a_need_that_does_not_exist_is_the_plugins_mistake() -> None:
    with pytest.raises(
        PluginError, match=r"needs 'ranking', which is not a valid need.*Did you mean 'rankings'"
    ):
        _stages(_registry("ranking"))


def test_a_file_that_changed_after_the_check_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "documents.jsonl"
    file.write_text('{"text": "a b"}\n')
    words = ["data=files", f"data.documents={file}", "policy.tokenizer=bytes", "sft=none"]
    off = [f"{group}=none" for group in ("comparisons", "reward_model", "algorithm", "evaluation")]
    run = job_of(compose([*words, *off], with_hydra=True)).run
    check_unchanged(run)
    file.write_text('{"text": "a c"}\n')
    os.utime(file, ns=(0, 1))  # a time stamp that no earlier content had
    with pytest.raises(UserError, match="data: what it reads was changed after this command"):
        check_unchanged(run)


def test_an_empty_set_of_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(UserError, match=r"rows\.jsonl"):
        _stages(_registry(), "data=files", f"data.documents={tmp_path / 'rows.jsonl'}", "sft=none")


CURES = {
    # What a preset nests can be left out; the parts are named.
    ("sft=none", "reward_model=length"): r"with data\.documents=FILE\. Or leave out what needs it: "
    r"algorithm\.terms\.ptx=null\.",
    ("sft=none", "algorithm=none", "reward_model=length"): r"needs documents, .*"
    r"evaluation\.evaluators\.gold=null .*evaluation\.evaluators\.families=null",
    ("sft=none", "reward_model=gold", "algorithm=rloo", "evaluation=samples"): (
        r"reward_model=gold needs the true utility of responses, but data=files is not a simulated"
    ),
    ("algorithm=none", "evaluation=none"): r"with data\.demonstrations=FILE, or choose sft=none",
    # Simulated people cannot rank answers to real prompts.
    ("comparisons=ranked", "sft=none", "evaluation=none", "algorithm=ppo"): r"labeler=simulated "
    r"needs .*Give rankings with data\.rankings=FILE, or choose comparisons=none\.$",
    ("reward_model=gold", "sft=none", "algorithm=ppo", "evaluation=none"): r"reward_model=gold "
    r"needs .*Choose another reward_model, or data=microworld\.$",
    ("pretrain=documents", "sft=none"): "start from a model that has weights: policy=pretrained",
}


@pytest.mark.parametrize("words", CURES)
def test_the_cure_fits_the_command(words: tuple[str, ...], tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "a"}\n')
    base = ["data=files", f"data.prompts={prompts}", "pretrain=none", "comparisons=none"]
    with pytest.raises(UserError, match=CURES[words]):
        job_of(compose([*base, *words], with_hydra=True))


def test_all_that_is_missing_is_one_message_with_a_command_that_works(tmp_path: Path) -> None:
    for name, row in (
        ("prompts", {"prompt": "a b"}),
        ("rankings", {"prompt": "a", "chosen": " b", "rejected": " c"}),
    ):
        splits = ("train", "validation", "test")
        rows = [{**row, "prompt": f"a {i}", "split": s} for i, s in enumerate(splits * 3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [f"data.{n}={tmp_path / n}.jsonl" for n in ("prompts", "rankings")]
    base = ["data=files", *given, "comparisons=none", "policy.tokenizer=bytes"]
    with pytest.raises(UserError) as caught:
        job_of(compose(base, with_hydra=True))
    lacks = str(caught.value).splitlines()
    assert [lack.split()[0] for lack in lacks] == [
        *("pretrain=documents", "sft=demonstrations", "algorithm=ppo_ptx", "evaluation=ladder")
    ]  # and no command: a policy without weights needs documents
    with pytest.raises(UserError) as caught:
        job_of(compose([*base, "pretrain=none"], with_hydra=True))
    *lacks, cure = str(caught.value).splitlines()
    assert len(lacks) == 3
    said, words = cure.split("add: ")
    assert said == "To do without all of it, "
    assert words.startswith("sft=none algorithm.terms.ptx=null evaluation.evaluators.gold=null ")
    job_of(compose([*base, "pretrain=none", *words.split()], with_hydra=True))


def test_the_mix_of_sft_follows_the_documents() -> None:
    """The preset has null; the embedded world has documents."""
    job = job_of(compose([], with_hydra=True))
    assert job.run.choices["sft"].config.mix_coef == 1.0
    assert job.config["sft"]["mix_coef"] is None
    config = job.run.choices["sft"].config
    assert type(config)(mix_coef=None).settled({"demonstrations"}).mix_coef == 0.0
    assert type(config)(mix_coef=0.5).settled({"documents"}).mix_coef == 0.5
