"""What an on-policy algorithm takes from other runs: training that goes on, and a KL reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.components import Inspection
from preflab.errors import UserError
from preflab.interfaces import Adaptable, Backbone, Context, Policy, RewardModel
from preflab.lengths import check_prompts
from preflab.offload import Offload, networks_of
from preflab.runtime import Runtime
from preflab.sampling import gives_log_probs, is_foreign
from preflab.storage.run_folder import newest_model, read_from
from preflab_builtin.causal_lm.checking import check_folder
from preflab_builtin.causal_lm.folders import content_digest, tokenizer_digest
from preflab_builtin.on_policy.config import Controller, OldLogProbs, OnPolicyConfig, names_folder
from preflab_builtin.training import continuing

if TYPE_CHECKING:
    from preflab_builtin.on_policy.experience import Networks

_REFERENCE, INITIAL = " reference ", "initial"
NOT_GIVEN = (
    "algorithm.old_log_probs=sampled takes the log-probabilities that the rollout engine drew by, "
    "and this run's engine does not say them. Leave it out, or choose rollout=native (the default)."
)


def inspect(config: OnPolicyConfig) -> Inspection:
    """Digests of both. `UserError` for a folder that is neither a run's nor a model's."""
    seen, folder = continuing.inspect(config), reference_folder(config)
    if not config.kl.reference:
        return seen
    digest = config.kl.reference if folder is None else content_digest(folder)
    return replace(seen, content=f"{seen.content}{_REFERENCE}{digest}")


def reference_folder(config: OnPolicyConfig) -> Path | None:
    """The model folder of the KL reference; None if it is a role of this run."""
    if not names_folder(config.kl.reference):
        return None
    given = Path(config.kl.reference).expanduser()
    folder = newest_model(given) or given
    check_folder(folder)
    return folder


def kl_reference(config: OnPolicyConfig, context: Context, policy: Policy) -> Policy:
    """The frozen policy that the KL is measured against. policy: the one to be trained, as it
    begins; without its adapters it is the one that it begins as."""
    folder, role = reference_folder(config), config.kl.reference or INITIAL
    begins_as = policy.without_adapters() if isinstance(policy, Adaptable) else None
    if folder is None and role == INITIAL and begins_as is not None:
        return begins_as
    reference = context.policy(role) if folder is None else context.load_policy(folder)
    reference.module.requires_grad_(False)
    return reference


def offload(networks: Networks, reward_model: RewardModel, runtime: Runtime) -> Offload:
    """What leaves memory while networks are trained (`runtime.offload`): the frozen ones, without
    the weights that the trained ones share."""
    if not runtime.config.offload:
        return Offload(())
    frozen: list[Backbone | None] = [networks.reference, *networks_of(reward_model)]
    trained: list[Backbone | None] = [networks.policy, networks.value]
    kept = [network.module for network in trained if network is not None]
    return Offload([network.module for network in frozen if network is not None], kept)


def preflight(config: OnPolicyConfig, context: Context) -> Iterator[str]:
    """Refuses prompts that are too long and what does not fit this run; what a schedule means for
    training that goes on."""
    check_prompts(context, context.records("prompts", "train"))
    sampled = config.old_log_probs is OldLogProbs.sampled
    if sampled and not gives_log_probs(context.rollout()):
        raise UserError(NOT_GIVEN)
    if config.sampler.cap is not None and not is_foreign(context.rollout()):
        raise UserError(
            f"algorithm.sampler.cap={config.sampler.cap:g} weighs tokens for what an engine drew "
            "with other probabilities than the policy's, and this run's rollout engine computes "
            "with the policy itself. Leave it out, or choose another engine: rollout=continuous, "
            "or rollout=vllm of preflab-vllm."
        )
    folder = reference_folder(config)
    if folder is not None and tokenizer_digest(folder) != context.tokenizer.digest:
        raise UserError(
            f"algorithm.kl.reference={config.kl.reference}: {folder} has another tokenizer than "
            "the policy, so that its log-probabilities are of other tokens. Give a model with the "
            "policy's tokenizer."
        )
    continuing.begins_from(config, config.total_steps())
    yield from continuing.preflight(config, config.policy)
    _check_carried(config)
    if folder is not None:
        said = read_from(Path(config.kl.reference).expanduser()) or f"{folder} is read"
        yield f"algorithm.kl.reference: {said}."


def _check_carried(config: OnPolicyConfig) -> None:
    """An adaptive coefficient goes on from where it was: another first value would do nothing; and
    the reference stays."""
    found = continuing.earlier(config)
    if found is None:
        return
    made = found.artifact.manifest["recipe"]["component"]["content"][0][1]
    if made.partition(_REFERENCE)[2] != inspect(config).content.partition(_REFERENCE)[2]:
        raise UserError(
            "algorithm.kl.reference is another one than that of algorithm.continues="
            f"{config.continues}: training that goes on keeps its reference. Give it as it was."
        )
    if config.kl.controller is not Controller.adaptive:
        return
    if (then := found.config["kl"]["coef"]) != config.kl.coef:
        raise UserError(
            f"algorithm.kl.coef is {config.kl.coef}, and training that goes on with "
            "controller=adaptive takes the coefficient over from where it ended: give "
            f"algorithm.kl.coef={then}, or algorithm.kl.controller=fixed."
        )
