"""What `accelerate launch` asks for is taken over by the keys of runtime, or refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from preflab import UserError
from preflab.engine.preflight import _of_sharding
from preflab.runtime import Precision, RuntimeConfig, Sharding, as_launched
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
