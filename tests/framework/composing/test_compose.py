"""Composition: what command lines mean, and that what is wrong is refused with key, choices and
nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import UserError, compose
from preflab.composing.compose import compose as compose_with
from preflab.composing.compose import composed, parse, resolved
from preflab.composing.search_path import hydra_initialised


def test_compose_gives_notebooks_the_same_config() -> None:
    assert compose(["algorithm=ppo", "seed=7"]).seed == 7


def test_sweeps_expand_to_jobs() -> None:
    line = parse(["-m", "algorithm=ppo,ppo_ptx", "seed=1,2"])
    assert line.multirun
    assert line.jobs == tuple(
        (f"algorithm={a}", f"seed={s}") for a in ("ppo", "ppo_ptx") for s in (1, 2)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "-cn kl_versus_ptx",
        "-cn labeler_folds",
        # Hydra's own part; an addition, a deletion, a dict, a component inside another
        "-m seed=1,2 hydra.job.chdir=false algorithm=ppo,none",
        "-m seed=1,2 algorithm=ppo +filters.more.name=deduplicate ~evaluation.evaluators.kl "
        "algorithm.clip={ratio:0.3}",
        "-m algorithm=ppo_ptx +reward_shaping@algorithm.shaping.soft=soft_clip seed=3,4",
    ],
)
def test_jobs_composed_together_equal_those_composed_alone(command: str) -> None:
    line = parse(command.split())
    assert len(line.jobs) > 1
    chosen = (line.jobs[0], line.jobs[1], line.jobs[-1])
    with hydra_initialised():
        all_together = [composed(job, line.config_name) for job in chosen]
    for job, together in zip(chosen, all_together, strict=True):
        alone = compose_with(job, line.config_name, with_hydra=True)
        assert resolved(together) == resolved(alone)
        assert together.hydra.overrides.task == alone.hydra.overrides.task


@pytest.mark.slow
def test_errors_are_those_of_hydra() -> None:
    for words in (
        ["sft.lrr=1"],
        ["seed=1", "nothing@there=1"],
        ["algorithm=pppo"],
        ["+seed=2"],
        ["~absent"],
        ["sft.lr=fast"],
    ):
        with pytest.raises(UserError) as alone:
            compose_with(words, with_hydra=True)
        with hydra_initialised():
            composed(["seed=1"], "config")
            with pytest.raises(UserError) as together:
                composed(words, "config")
        assert str(together.value) == str(alone.value)


def test_the_last_key_of_a_grid_varies_fastest() -> None:
    line = parse(["-m", "seed=1,2", "sft.epochs=3", "algorithm=ppo,none"])
    assert line.jobs == tuple(
        (f"seed={seed}", "sft.epochs=3", f"algorithm={algorithm}")
        for seed in (1, 2)
        for algorithm in ("ppo", "none")
    )


def test_the_command_line_overrides_the_grid_of_a_study() -> None:
    values = {word for job in parse(["-cn", "ladder", "seed=7"]).jobs for word in job}
    assert {word for word in values if word.startswith("seed=")} == {"seed=7"}
    assert parse(["-m", "seed=1,2", "seed=3"]).jobs == (("seed=3",),)


@pytest.mark.parametrize(
    "words,message",
    [
        (("-m", "sft.lr=interval(0,1)"), r"is not a list of values: give sft\.lr=A,B"),
        (("-m", "hydra.sweeper._target_=mine.Sweeper", "seed=1,2"), "it takes grids only"),
        (("--config-path", "elsewhere"), "--config-path is not supported: give your folder with"),
        (("-cn", "../outside"), "is not a valid config name"),
    ],
)
def test_a_command_line_that_is_not_supported(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(words)


def test_a_command_line_that_shows_something_has_one_job() -> None:
    line = parse(["--cfg", "job", "seed=3"])
    assert (line.info, line.shows_job, line.jobs) == (True, True, (("seed=3",),))
    assert not parse(["seed=3"]).info


def test_a_study_that_adds_seeds_has_jobs_in_blocks() -> None:
    line = parse(["-cn", "headline", "arm=ppo,sft", "study.seeds.at_most=9"])
    words = "arm={} study.seeds.at_most=9 seed={}"
    assert [line.jobs, *line.later] == [
        tuple(tuple(words.format(arm, s).split()) for arm in ("ppo", "sft") for s in seeds)
        for seeds in ((201, 202, 203, 204), (205, 206, 207, 208), (209,))
    ]
    by_hand = parse(["-cn", "headline", "study.seeds=null", "arm=ppo", "seed=1,2"])
    assert [job[-1] for job in by_hand.jobs] == ["seed=1", "seed=2"]
    assert by_hand.later == ()
    assert parse(["-cn", "headline", "hydra.mode=RUN", "arm=ppo", "seed=1"]).later == ()


def test_a_file_that_names_its_seeds_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text(
        "defaults: [headline, _self_]\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    with pytest.raises(UserError, match=r"names its seeds twice: .*seed=1,2"):
        parse(["-cd", str(tmp_path), "-cn", "twice"])
    assert parse(["-cd", str(tmp_path), "-cn", "twice", "study.seeds=null"]).later == ()
    typed = parse(["-cd", str(tmp_path), "-cn", "twice", "study.seeds.at_most=4"])
    assert "takes the place of the study's own seed=1,2" in typed.said[0]


@pytest.mark.parametrize(
    "words,message",
    [
        ("headline seed=1,2", r"seed=1,2: the study chooses its seeds by itself .*seeds=null"),
        ("headline study.seeds=3", "study.seeds is 3 but holds options of its own"),
        ("headline study.seeds.block=0", "study.seeds.block is 0 but must be >= 1"),
        ("headline study.seeds.at_mst=5", "Did you mean 'at_most'"),
        ("headline study.claims.tax.margin=0.01", r"out: '\+study.claims.tax.margin=0.01' adds it"),
        ("ladder study.seeds.at_mst=5", "Did you mean 'at_most'"),
    ],
)
def test_seeds_that_contradict_each_other_are_refused(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(["-cn", *words.split()])
