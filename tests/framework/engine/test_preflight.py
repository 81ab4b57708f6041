"""What is known before the first stage: said once, before it, and only if a stage is to be made."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import plugin_file
from framework.engine import outspoken
from preflab import PluginError, UserError
from preflab.components import Inspection
from preflab.composing.compose import compose
from preflab.console import commands
from preflab.engine import data
from preflab.engine.preflight import check_checkpoints
from preflab.engine.stages import Stages
from preflab.jobs.ahead import notices
from preflab.jobs.execution import execute
from preflab.memory import ModelShape
from preflab.planning.reading import Job, job_of
from reliability import trouble

pytestmark = pytest.mark.slow
WORDS = (*trouble.ALONE, *trouble.TINY, "runtime.threads=1", "algorithm=outspoken")


@pytest.fixture(autouse=True)
def _outspoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with plugin_file(Path(outspoken.__file__)):
        yield


def job(*words: str) -> Job:
    return job_of(compose([*WORDS, *words], with_hydra=True))


def said(*words: str) -> list[str]:
    return Stages(job(*words).run, lambda hook, **shown: None, {}).preflight()


def calls() -> list[str]:
    return outspoken.CALLS.read_text().splitlines() if outspoken.CALLS.exists() else []


def test_components_and_what_is_nested_in_them_say_each_sentence_once() -> None:
    """The part says its sentence twice. The prompts of the world are shorter than its model."""
    nested = "+algorithm.part={name: part, says: and so do I}"
    assert said("algorithm.says=I know", nested) == ["I know: True", "and so do I"]
    assert calls() == ["algorithm 1"]


LARGE = "policy=tiny policy.layers=32 policy.width=4096 policy.heads=32 algorithm=ppo"
"""6.4 billion weights: weights and two moments of both networks are 155 GB, 12 minutes and 53 s at
200 MB/s, and a save may take 10."""


def test_a_job_that_its_first_save_would_end_is_refused_with_a_cure_that_works() -> None:
    words = [*LARGE.split(), "runtime.processes=8", "runtime.sharding=full"]
    stages = Stages(job_of(compose(words, with_hydra=True)).run, lambda hook, **shown: None, {})
    with pytest.raises(UserError, match=r"checkpoint\.limit_seconds=600 ends the job") as refused:
        stages.preflight()
    advised = str(refused.value).rpartition("Give ")[2].removesuffix(".").split()
    for cure in (advised[:1], advised[-2:]):
        assert all(word.startswith("checkpoint.") for word in cure)
        run = job_of(compose([*words, *cure], with_hydra=True)).run
        check_checkpoints(run, run.stages)


def test_what_the_filters_did_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.Records, "notices", lambda records: ["half is dropped"])
    assert said("algorithm.says=I know") == ["half is dropped", "I know: True"]


def test_the_context_is_that_of_the_stage() -> None:
    said("algorithm.says=hello", "algorithm.seed=7")
    assert calls() == ["algorithm 7"]


def test_a_run_shows_and_keeps_what_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    execute(job("algorithm.says=hello"), tmp_path / "run")
    assert "preflab: hello: True\n" in capsys.readouterr().err
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["notices"] == ["hello: True"]


def test_nothing_is_asked_when_every_stage_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    execute(job("algorithm.says=hello"), tmp_path / "run")

    def read(*arguments: object) -> None:
        raise AssertionError("records are read")

    monkeypatch.setattr(data.Records, "split", read)
    assert said("algorithm.says=hello") == []
    assert calls() == ["algorithm 1"]
    assert commands.run("plan", [*WORDS, "algorithm.says=hello"]) == 0


def test_what_was_said_of_a_stage_is_kept_with_it(tmp_path: Path) -> None:
    """A run that reuses the algorithm, but not the evaluation, keeps what was said of the
    algorithm; not what was said of the other evaluation."""
    words = ("algorithm.says=hello", "evaluation=outspoken")
    for name, says in {"first": "one", "second": "two", "third": "two"}.items():
        (tmp_path / name).mkdir()
        execute(job(*words, f"evaluation.says={says}"), tmp_path / name)
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert set(manifest["notices"]) == {"hello: True", f"{says}: True"}, name
    assert calls() == ["algorithm 1", "evaluation 1", "evaluation 1"]


def test_what_was_said_of_another_runs_file_is_not_said_of_this_run(tmp_path: Path) -> None:
    """Pretraining reads no rankings, and is made once, when their file had a column more."""
    words = ("algorithm.says=hello", "pretrain=outspoken", "rankings=files")
    for name, more in {"first": {"colour": "red"}, "second": {}}.items():
        row = {"prompt": "a", "chosen": "b", "rejected": "c", "split": "train", **more}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
        (tmp_path / name).mkdir()
        execute(job(*words, f"rankings.path={tmp_path}/{name}.jsonl"), tmp_path / name)
        notices = json.loads((tmp_path / name / "manifest.json").read_text())["notices"]
        assert any("colour" in said for said in notices) is bool(more), name
    made = [folder for folder in Path("artifacts").glob("pretrain-*") if folder.is_dir()]
    assert len(made) == 1


def test_a_refusal_comes_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="says=fail fails: say something else"):
        execute(job("algorithm.says=fail"), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"
    assert not Path("artifacts").exists()


@pytest.mark.parametrize(
    "says,message",
    [
        ("raise", r"algorithm 'outspoken' of .* raised ValueError: raised on purpose"),
        ("text", r"algorithm 'outspoken' of .*: preflight returned 'a text'.* in a list"),
    ],
)
def test_a_preflight_that_is_broken_is_its_plugins(says: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        said(f"algorithm.says={says}")


def test_a_plan_asks_once_whatever_the_number_of_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Two algorithms, each with two seeds, of which the first seed is asked."""
    words = ["-m", *WORDS, "algorithm.says=one,two", "seed=1,2"]
    assert commands.run("plan", words) == 0
    assert calls() == ["algorithm 1", "algorithm 1"]
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("- ")] == ["- one: True", "- two: True"]


@pytest.mark.parametrize(
    ("words", "nothing"),
    [
        ("algorithm=dpo comparisons=ranked", True),
        ("algorithm=rloo reward_model=length algorithm.kl.coef=0", True),
        ("algorithm=rloo reward_model=length", False),  # the reference
        ("algorithm=rloo reward_model=kwise comparisons=ranked algorithm.kl.coef=0", False),
    ],
)
def test_offload_without_a_frozen_network_is_said(words: str, nothing: bool) -> None:
    told = said(*words.split(), "runtime.offload=true")
    assert any("runtime.offload=true changes nothing" in sentence for sentence in told) == nothing


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_offload_into_memory_is_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of temporary files is a mount of its own on many systems."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none /dev tmpfs rw 0 0\n/dev/a / ext4 rw 0 0\nx {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr("preflab.offload.MOUNTS", mounts)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = said("algorithm=rloo", "reward_model=length", "runtime.offload=true")
    in_memory = "frees no memory of this machine: .* is in memory itself .* with TMPDIR"
    assert any(re.search(in_memory, sentence) for sentence in told) == (kind == "tmpfs")


def test_offload_of_networks_on_trained_weights_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters: the reference is the policy without them, the reward model the value network; of
    three reward models the first one, so that two can leave."""
    shape = ModelShape(4, 128, 4, 4, 512, 512, adapters=4)
    seen = Inspection(shape=shape, pretrained=True)
    monkeypatch.setattr("preflab.planning.sizing.inspect", lambda choice: seen)
    for algorithm, reward, nothing in (
        ("ppo", "kwise", True),
        ("ppo", "ensemble", False),
        ("rloo", "kwise", False),
    ):
        words = f"algorithm={algorithm} reward_model={reward} comparisons=ranked"
        told = said(*words.split(), "runtime.offload=true")
        why = "changes nothing: .* with adapters .policy.lora. what there is .* in training, which"
        assert any(re.search(why, sentence) for sentence in told) == nothing


@pytest.mark.parametrize(
    ("given", "beside", "said_of_it"),
    [
        ("runtime.decode_graphs=true", "runtime.device=cuda", "is for sampling on a GPU"),
        ("runtime.reshard=false", "runtime.sharding=full runtime.processes=2", "has all weights"),
        (
            "runtime.gpus_per_job=3",
            "runtime.processes=3",
            "2 of these GPUs are held and not used, .*gpus_per_job=1, or runtime.processes=3",
        ),
    ],
)
def test_options_that_change_nothing_here_are_said(
    given: str, beside: str, said_of_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not with what they are for. A GPU that is named may be on another machine."""
    monkeypatch.setattr("preflab.precision.has_gpu", lambda: False)
    told = [looked_at(given), looked_at(given, *beside.split())]
    found = [any(re.search(f"{given}.*{said_of_it}", s) for s in some) for some in told]
    assert found == [True, False]


def looked_at(*words: str) -> list[str]:
    return Stages(job(*words).run, lambda hook, **shown: None, {}, looks=True).preflight()


@pytest.mark.parametrize(("sft", "read"), [("none", False), ("demonstrations", True)])
def test_records_of_their_own_that_nobody_reads_are_said(sft: str, read: bool) -> None:
    """Without SFT no stage reads demonstrations; those of the world itself are nobody's file."""
    row = {"prompt": "say it :", "completion": " so be it", "split": "train"}
    Path("own.jsonl").write_text(json.dumps(row) + "\n")
    own = ("demonstrations=files", "demonstrations.path=own.jsonl")
    unread = [s for s in said(f"sft={sft}", *own) if "no stage of this run reads them" in s]
    words = "demonstrations=files: no stage of this run reads them. demonstrations=null leaves "
    assert unread == ([] if read else [f"{words}them out."])
    assert not [s for s in said("sft=none") if "no stage of this run reads them" in s]


@pytest.mark.parametrize(("typed", "told"), [("true", True), ("on", False), ("'true'", False)])
def test_a_truth_value_that_became_a_text_is_said(typed: str, told: bool) -> None:
    """On a command line on is a word, and what stands in quotes is what it is."""
    found = [s.partition(":")[0] for s in said(f"note={typed}") if "YAML reads yes" in s]
    assert found == (["note is the text 'True'"] if told else [])


def test_a_truth_value_in_a_list_of_texts_is_said_too() -> None:
    found = [s.partition(":")[0] for s in said("tags=[one,true]") if "YAML reads yes" in s]
    assert found == ["tags.1 is the text 'True'"]


def test_what_is_not_there_now_is_said_by_a_plan_and_refused_by_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a server that is to sample, and that nobody has started yet."""
    assert commands.run("plan", [*WORDS, "algorithm.says=absent"]) == 0
    shown = capsys.readouterr().out
    assert "- A run would be refused: no server answers: start it" in shown
    assert "to compute" in shown
    with pytest.raises(UserError, match="no server answers: start it"):
        notices([job("algorithm.says=absent")])


def test_a_plan_names_the_job_that_is_refused() -> None:
    with pytest.raises(UserError, match=r"fails: say .*\n\(in the job .*algorithm.says=fail"):
        commands.run("plan", ["-m", *WORDS, "algorithm.says=one,fail"])


@pytest.mark.parametrize("algorithm", ["dpo_ptx", "ptx_only"])
def test_a_term_of_sampled_responses_is_refused_before_any_work(algorithm: str) -> None:
    # DPO learns from what the comparisons stage makes, which WORDS leave out.
    words = (
        f"algorithm={algorithm}",
        "comparisons=ranked",
        "+schema/gradient_term@algorithm.terms.bonus=entropy",
    )
    with pytest.raises(UserError, match=r"algorithm\.terms\.bonus=null"):
        said(*words)
    said(*words, "algorithm.terms.bonus.coef=0")
    said("algorithm=rloo", "reward_model=length", words[2])


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("algorithm=rloo", True),
        ("algorithm=dpo comparisons=ranked +watch=proxy", True),
        ("algorithm=dpo comparisons=ranked", False),  # nobody samples while it trains
        ("algorithm=rloo runtime.processes=1", False),
    ],
)
def test_an_engine_that_cannot_read_divided_weights_is_refused(words: str, refused: bool) -> None:
    divided = ("runtime.processes=2", "runtime.sharding=full", "rollout=continuous")
    given = (*divided, "reward_model=length", *words.split())
    with pytest.raises(UserError, match=MESSAGE) if refused else contextlib.nullcontext():
        said(*given)


MESSAGE = r"sharding=full does not work with rollout=continuous.* Give rollout=native"


def test_what_cannot_be_compiled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler on this machine; a policy of somebody's, which computes in its own way."""
    compiling = "runtime.compile=true"
    with monkeypatch.context() as without:
        without.setattr("preflab.compilers.shutil.which", lambda name: None)
        with pytest.raises(UserError, match=r"runtime\.compile=true needs a compiler of C\+\+"):
            said(compiling)
        assert said() == said("runtime.compile=false")
    with monkeypatch.context() as without:
        without.delattr("preflab_builtin.causal_lm.sources.SavedModels.check_compile")
        with pytest.raises(UserError, match=r"nothing to compile: policy=tiny computes in its own"):
            said(compiling)
