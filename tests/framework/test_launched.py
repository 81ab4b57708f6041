"""What `torchrun` and `accelerate launch` say is taken over by the keys of runtime, or refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from preflab import UserError
from preflab.composing.compose import parse
from preflab.console.cli import main
from preflab.engine.preflight import _of_sharding
from preflab.launched import (
    ACCUMULATION,
    DEVICE,
    MPI,
    is_main,
    local_rank,
    local_world_size,
    world_size,
)
from preflab.planning.reading import check_jobs
from preflab.runtime import Device, Precision, RuntimeConfig, Sharding, as_launched
from preflab.settings import CheckpointConfig


def test_what_accelerate_launch_asks_for_is_taken_over_or_refused() -> None:
    config = RuntimeConfig()
    assert as_launched(config, {"ACCELERATE_MIXED_PRECISION": "no"}) is config
    fsdp = {"ACCELERATE_USE_FSDP": "true", "FSDP_RESHARD_AFTER_FORWARD": "false"}
    launched = as_launched(config, fsdp)
    assert (launched.sharding, launched.reshard) == (Sharding.full, False)
    assert as_launched(config, {"ACCELERATE_USE_FSDP": "true"}).reshard
    for word in ("offload_params", "activation_checkpointing_offload"):
        with pytest.raises(UserError, match=f"fsdp_{word} false"):
            as_launched(config, {**fsdp, f"FSDP_{word.upper()}": "true"})
    assert not launched.checkpointing
    assert as_launched(config, {**fsdp, "FSDP_ACTIVATION_CHECKPOINTING": "true"}).checkpointing
    with pytest.raises(UserError, match=r"DeepSpeed.*runtime\.sharding=full"):
        as_launched(config, {"ACCELERATE_USE_DEEPSPEED": "true"})
    bf16 = {"ACCELERATE_MIXED_PRECISION": "bf16"}
    with pytest.raises(UserError, match=r"give runtime\.precision=bfloat16"):
        as_launched(config, bf16)
    own = RuntimeConfig(precision=Precision.bfloat16)
    assert as_launched(own, bf16) is own


@pytest.mark.parametrize("precision", list(Precision)[:2])
@pytest.mark.parametrize("asked", ["fp16", "fp8"])
def test_a_precision_that_is_not_there_has_one_cure_which_works(
    asked: str, precision: Precision
) -> None:
    config = RuntimeConfig(precision=precision)
    with pytest.raises(UserError, match=rf"--mixed_precision {asked}: .* not have it") as refused:
        as_launched(config, {"ACCELERATE_MIXED_PRECISION": asked})
    assert "give runtime.precision" not in str(refused.value)
    (cure,) = re.findall(r"Launch with --mixed_precision (\w+)", str(refused.value))
    assert as_launched(config, {"ACCELERATE_MIXED_PRECISION": cure}) is config


@pytest.mark.parametrize(
    ("variables", "cure"),
    [
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, r"--use_megatron_lm: .*runtime\.sharding=full"),
        (
            # accelerate takes it beside --use_fsdp --fsdp_version 2 alone.
            {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_PARALLELISM_CONFIG": "true"},
            r"no tensor, .* Leave out --use_parallelism_config .*--use_fsdp",
        ),
        (
            {ACCUMULATION: "4"},
            rf"{ACCUMULATION} is 4.* runtime\.micro_batch .*\(unset {ACCUMULATION}",
        ),
        ({ACCUMULATION: "auto"}, f"{ACCUMULATION} is auto"),
    ],
)
def test_what_accelerate_does_and_preflab_does_not_is_refused(
    variables: dict[str, str], cure: str
) -> None:
    with pytest.raises(UserError, match=cure):
        as_launched(RuntimeConfig(), variables)
    for off in ("false", "") if ACCUMULATION not in variables else ("1", ""):
        assert as_launched(RuntimeConfig(), dict.fromkeys(variables, off)) == RuntimeConfig()


@pytest.mark.parametrize(
    ("version", "strategy", "reshards", "taken"),
    [
        ("1", "FULL_SHARD", "true", (Sharding.full, True)),
        ("1", "1", "true", (Sharding.full, True)),
        ("1", "SHARD_GRAD_OP", "true", (Sharding.full, False)),
        ("1", "NO_SHARD", "true", (Sharding.none, True)),
        # accelerate launch gives both; each version reads one of them.
        ("1", "FULL_SHARD", "false", (Sharding.full, True)),
        ("2", "HYBRID_SHARD", "false", (Sharding.full, False)),
    ],
)
def test_a_way_to_divide_weights_is_taken_over(
    version: str, strategy: str, reshards: str, taken: tuple[Sharding, bool]
) -> None:
    variables = {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": version,
        "FSDP_SHARDING_STRATEGY": strategy,
        "FSDP_RESHARD_AFTER_FORWARD": reshards,
    }
    config = as_launched(RuntimeConfig(), variables)
    assert (config.sharding, config.reshard) == taken


@pytest.mark.parametrize("strategy", ["HYBRID_SHARD", "HYBRID_SHARD_ZERO2", "4"])
def test_a_way_to_divide_weights_that_is_not_there_is_refused_by_its_name(strategy: str) -> None:
    variables = {"ACCELERATE_USE_FSDP": "true", "FSDP_SHARDING_STRATEGY": strategy}
    cure = rf"fsdp_sharding_strategy {strategy}: .*Allowed: FULL_SHARD, SHARD_GRAD_OP, NO_SHARD"
    with pytest.raises(UserError, match=cure):
        as_launched(RuntimeConfig(), variables)


def test_none_and_full_at_a_time_are_refused() -> None:
    variables = {"ACCELERATE_USE_FSDP": "true", "FSDP_SHARDING_STRATEGY": "NO_SHARD"}
    with pytest.raises(UserError, match=r"by NO_SHARD .* give runtime\.sharding=none"):
        as_launched(RuntimeConfig(sharding=Sharding.full), variables)


def test_processes_are_those_that_were_launched() -> None:
    assert as_launched(RuntimeConfig(), {"WORLD_SIZE": "4"}).processes == 4
    assert as_launched(RuntimeConfig(processes=2), {}).processes == 2


def test_what_is_taken_over_is_said_also_where_nothing_is_divided() -> None:
    """NO_SHARD with activation checkpointing: one key of runtime is another one."""
    variables = {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_SHARDING_STRATEGY": "NO_SHARD",
        "FSDP_ACTIVATION_CHECKPOINTING": "true",
    }
    asked = RuntimeConfig()
    settings = SimpleNamespace(runtime=asked, checkpoint=CheckpointConfig())
    taken = SimpleNamespace(config=as_launched(asked, variables))
    environment: Any = SimpleNamespace(run=SimpleNamespace(settings=settings), runtime=taken)
    (said,) = _of_sharding(environment)
    assert said.startswith("accelerate launch --use_fsdp is taken as runtime.checkpointing=true. ")


@pytest.mark.parametrize("asked", [2, 8])
def test_processes_that_a_launcher_did_not_start_are_refused(asked: int) -> None:
    """Else the plan, the check of checkpoints and the noted circumstances would count ``asked``."""
    cure = rf"started 4 processes, but runtime\.processes={asked}: leave runtime\.processes out"
    with pytest.raises(UserError, match=cure):
        as_launched(RuntimeConfig(processes=asked), {"WORLD_SIZE": "4"})
    same = RuntimeConfig(processes=4)
    assert as_launched(same, {"WORLD_SIZE": "4"}) is same
    alone = RuntimeConfig(processes=asked)
    assert as_launched(alone, {"WORLD_SIZE": "1"}) is alone  # the job starts them itself


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "1"}, r"RANK is 1, but with WORLD_SIZE=1 .* unset RANK WORLD_SIZE\."),
        ({"RANK": "3", "WORLD_SIZE": "2"}, "RANK is 3, but with WORLD_SIZE=2 .* from 0 to 1"),
        (
            {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"},
            "LOCAL_RANK is 2, but with LOCAL_WORLD_SIZE=2",
        ),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK is 1, but with LOCAL_WORLD_SIZE=1"),
        *(({name: "2"}, rf"{name} is 2: .*torchrun .*unset {name}\.") for name in MPI),
        ({DEVICE: "cuda:1"}, rf"{DEVICE} is cuda:1.* give runtime\.device=cpu or cuda"),
        ({"ACCELERATE_USE_FSDP": "full"}, "ACCELERATE_USE_FSDP is 'full', .* true or false"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, r"dynamo_backend inductor: .*compile=true"),
    ],
)
def test_numbers_and_words_that_do_not_fit_are_refused(
    variables: dict[str, str], message: str
) -> None:
    """A process without a number of its own would train alone, or wait for others without end."""
    with pytest.raises(UserError, match=message):
        as_launched(RuntimeConfig(), variables)


def test_what_says_nothing_asks_for_nothing() -> None:
    """Slurm's steps and some launchers set the local number alone; empty is not set."""
    for variables in (
        {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"},
        {"ACCELERATE_MIXED_PRECISION": "", "ACCELERATE_DYNAMO_BACKEND": ""},
        {"ACCELERATE_MIXED_PRECISION": "NO", "ACCELERATE_DYNAMO_BACKEND": "NO"},
        {"RANK": "1", "WORLD_SIZE": "2", "PMI_SIZE": "2"},  # torchrun within a step of Slurm
        dict.fromkeys(MPI, "1"),
    ):
        config = as_launched(RuntimeConfig(), variables)
        assert config.precision is Precision.float32
    capitals = {"ACCELERATE_MIXED_PRECISION": "BF16"}
    assert as_launched(RuntimeConfig(precision=Precision.bfloat16), capitals)


def test_processors_that_accelerate_launch_asks_for() -> None:
    asked = {"ACCELERATE_USE_CPU": "True"}
    assert as_launched(RuntimeConfig(), asked).device is Device.cpu
    assert as_launched(RuntimeConfig(), {"ACCELERATE_USE_CPU": "False"}).device is Device.auto
    with pytest.raises(UserError, match=r"launch --cpu, but runtime\.device=cuda"):
        as_launched(RuntimeConfig(device=Device.cuda), asked)


def test_precision_is_chosen_for_the_device_that_was_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine whose GPU has bfloat16, and whose processor has not."""
    monkeypatch.setattr("preflab.precision.gpu_capability", lambda: 9.0)
    monkeypatch.setattr("preflab.precision.cpu_flags", frozenset)
    words = parse(["debug=fast", "runtime.precision=auto"])
    found = []
    for asked in ("False", "True"):
        monkeypatch.setenv("ACCELERATE_USE_CPU", asked)
        (job,) = check_jobs(words)
        found.append(job.run.settings.runtime.precision)
    assert found == [Precision.bfloat16, Precision.float32]


@pytest.mark.parametrize("name", ["WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK"])
def test_a_variable_of_a_launcher_that_is_no_number_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = {"WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": local_world_size}
    reads |= {"RANK": is_main, "LOCAL_RANK": local_rank}
    monkeypatch.setenv(name, "")
    before = reads[name]()
    monkeypatch.delenv(name)
    assert reads[name]() == before  # set to nothing is not set
    assert as_launched(RuntimeConfig(), {name: ""}) == RuntimeConfig()
    for wrong in ("abc", "1.5", "-1"):
        with pytest.raises(UserError, match=rf"{name} is '{wrong}', .*: unset {name}\."):
            as_launched(RuntimeConfig(), {name: wrong})
    monkeypatch.setenv(name, "abc")
    with pytest.raises(SystemExit) as ended:
        main(["plan", "debug=fast"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{name} is 'abc'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("word", ["1", "yes", "ON", "true"])
def test_switches_are_read_by_all_words_of_accelerate(word: str) -> None:
    """accelerate would compute on processors by ACCELERATE_USE_CPU=1, and preflab on a GPU."""
    assert as_launched(RuntimeConfig(), {"ACCELERATE_USE_CPU": word}).device is Device.cpu
    fsdp = {"ACCELERATE_USE_FSDP": word, "FSDP_OFFLOAD_PARAMS": word}
    with pytest.raises(UserError, match="fsdp_offload_params false"):
        as_launched(RuntimeConfig(), fsdp)


@pytest.mark.parametrize(
    "variables",
    [
        dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK"), ""),
        {"LOCAL_RANK": "0"},
    ],
)
def test_accelerate_reads_no_numbers_of_a_single_process(variables: dict[str, str]) -> None:
    """It takes int() of one that is set to nothing, and by LOCAL_RANK alone asks for MASTER_ADDR:
    a job would end with a traceback."""
    code = "from preflab.runtime import Runtime, RuntimeConfig as C; print(Runtime(C()).rank)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, b"0\n"), ended.stderr.decode()
