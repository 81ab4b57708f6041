"""What a user reads when a word of the command line is wrong: the cure, and no word of Hydra's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.compose import parse
from preflab.door.registry import ELSEWHERE
from preflab.planning.reading import check_jobs

MARKED = "transforms=control_tokens"
GROUPS = "reward_model=kwise_groups"
SAID = {
    ("sft.optimizer.lr=abc",): "sft.optimizer.lr is 'abc' but must be a number",
    ("sft.epochs=1.5",): "sft.epochs is '1.5' but must be a whole number",
    ("tags=mine",): "tags is 'mine' but must be a list: tags=[mine]",
    ("data=files", "data.ignore=id"): "data.ignore is 'id' but must be a list: data.ignore=[id]",
    ("seed=null",): "seed is 'None' but must be a whole number",
    ("artifacts.reuse=maybe",): "artifacts.reuse is 'maybe' but must be true or false",
    ("runtime.precision=int8",): "runtime.precision is 'int8'. Allowed: float32, bfloat16, auto.",
    ("seed=1,2",): "seed=1,2: several values. Add -m to run each of them",
    ("seed=range(1,3)",): "seed=range(1,3): several values. Add -m",
    ("data.rankings=epoch=3.jsonl",): "'data.rankings=\"epoch=3.jsonl\"'",
    ("seed=[1",): "'seed=[1' cannot be read",
    ("nothing",): "'nothing' is not an override: KEY=VALUE",
    ("-cn", "laddr"): "or config 'laddr'. Did you mean 'ladder'? Allowed: algorithms, ",
    ("algorithm.lr=1",): "Did you mean algorithm.policy.lr or algorithm.value.lr?",
    ("algorithm.kl_coef=1",): "Did you mean algorithm.kl.coef?",
    ("lr=1",): "Did you mean algorithm.policy.lr or algorithm.value.lr or pretrain.optimizer.lr",
    ("sft.epoch=1",): "Did you mean 'epochs'?",
    ("comparisons.k=6",): "comparisons.k is not an option. Allowed: batch, name, seed. "
    "Did you mean samples.k=6?",
    ("+comparisons.k=6",): "comparisons.k is not an option. Allowed: batch, name, seed. "
    "Did you mean samples.k=6?",
    ("+sft.epoch=1",): "Did you mean 'epochs'?",
    ("comparisons.prompts=9",): "Did you mean samples.prompts=9 or data.prompts=9",
    ("comparisons=sampled",): "There is no comparisons 'sampled'. Allowed: none, ranked.",
    ("algoritm=ppo",): "Did you mean 'algorithm'?",
    ("prompts.path=x",): "prompts is not chosen: give prompts=NAME first",
    ("arm=mine",): "To name a run: name=NAME",
    ("+arm=mine",): "To name a run: name=NAME",
    ("algorithm=ppo", "plan"): "plan is a command, which stands first: preflab plan ...",
    ("algorithm=ppo", "power"): "power is a command, which stands first: preflab power ...",
    ("evaluator=toxicity",): "+evaluator@FIELD.NAME=OPTION",
    ("sft=null",): "GROUP=none leaves it out",
    ("sft=3",): "takes the name of an option: GROUP=OPTION",
    ("debgu=fast",): "Did you mean 'debug'?",
    ("experimnt=smollm2_ukp",): "Did you mean 'experiment'?",
    ("++algorithm=ppo",): "chosen by algorithm=ppo, and added by +algorithm=ppo",
    ("+gradient_terms@algorithm.terms.mix=ptx",): "Did you mean 'gradient_term'?",
    ("algorithm=ppo", "algorithm.terms.ptx.coef=1"): "add one: +gradient_term@algorithm.terms.ptx="
    "ptx.",
    ("evaluation.evaluators.kll=null",): "win_rate, win_rate_held_out. To add one: "
    "+evaluator@evaluation.evaluators.kll=OPTION.",
    ("filters.short.max_tokens=9",): "To add one: +filter@filters.short=OPTION.",
    ("reward_model=sum", "reward_model.weights.learned=2"): "reward_model.weights.learned is not "
    "there yet. To add it: +reward_model.weights.learned=2",
    ("reward_model=sum", "+reward_model.weights.learned=2", "reward_model.weights.x=1"): "To add "
    "it: +reward_model.weights.x=1",
    (
        GROUPS,
        "+reward_model.weights.18-24=1",
    ): "'+reward_model.weights.18-24=1' cannot "
    "be written behind a dot: give '+reward_model.weights={18-24: 1}'.",
    (GROUPS, "reward_model.weights.65+=0.5"): "give '+reward_model.weights={65+: 0.5}'.",
    (GROUPS, '+reward_model.weights.women/men="1"'): 'weights={women/men: "1"}\'.',
    (GROUPS, "reward_model.weights={women/men: 1}"): "'+reward_model.weights={women/men: VALUE}'",
    (GROUPS, "+reward_model.weights.a:b=1"): "rename it, or give it in a config file.",
    ("policy=pretrained", "policy.path=x", "policy.template_arguments.thinking=false"): "To add "
    "it: +policy.template_arguments.thinking=false",
    (
        MARKED,
        "+reward_model@transforms.control.scorer=classifier",
    ): "another one is chosen without the plus, reward_model@transforms.control.scorer=classifier.",
    (
        "+evaluator@evaluation.evaluators.t=toxicity",
        "+reward_model@evaluation.evaluators.t.scorers.toxicity=length",
    ): "another component already (with the config class ClassifierConfig)",
    ("~algorithm",): "Allowed: best_of_n, dpo, dpo_ptx, ",
    ("seed=1", "--mulitrun"): "Did you mean '--multirun'?",
}


@pytest.mark.parametrize("words", SAID)
def test_the_cure_is_named(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        check_jobs(parse(words))
    said = str(caught.value)
    assert SAID[words] in said
    assert not re.search(r"[Hh]ydra\.cc|\bstruct\b|converted to|Merging|override_grammar", said)


def test_a_component_of_a_distribution_beside_ours_comes_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ELSEWHERE, ("rollout", "beside"), "preflab-beside")
    cure = r"no rollout 'beside'\. Allowed: .*pip install \./plugins/preflab-beside in a clone"
    with pytest.raises(UserError, match=cure):
        check_jobs(parse(("rollout=beside",)))


def test_a_key_at_the_top_is_not_one_that_only_preflab_sets() -> None:
    with pytest.raises(
        UserError, match=r"Allowed: algorithm, artifacts, checkpoint, .*prompts"
    ) as e:
        check_jobs(parse(["nothing=1"]))
    assert not {"arm,", "fast,", "hydra,"} & set(str(e.value).split())


def test_studies_of_ones_own_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "my_study.yaml").write_text("defaults: [config, _self_]\n")
    with pytest.raises(UserError, match="Did you mean 'my_study'"):
        parse(["-cd", str(tmp_path), "-cn", "my_studi"])


def test_flags_may_stand_anywhere() -> None:
    line = parse(["algorithm=ppo", "-m", "seed=1,2", "-cn", "ladder", "arm=base"])
    assert (line.multirun, line.config_name, len(line.jobs)) == (True, "ladder", 2)


def test_glob_sweeps_over_a_config_group() -> None:
    jobs = parse(["-m", "reward_model=glob(kwise*)"]).jobs
    assert ("reward_model=kwise",) in jobs
    assert len(jobs) > 2
