"""What is known before the first stage of a run is said before it: every component that is about to
be used looks at its inputs once."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from preflab.compilers import check_compilers
from preflab.components import Place
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.engine.context import Environment, StageContext
from preflab.engine.judging import judges_itself
from preflab.engine.notices import Notice
from preflab.engine.sharing import CANNOT_READ
from preflab.errors import Absent, PluginError, UserError
from preflab.interfaces import ChecksScalar, Compiles, SeesBatch
from preflab.learning_rates import far_above, rates, too_low
from preflab.lengths import check_prompts
from preflab.offload import in_memory
from preflab.optimization import sees_no_batch
from preflab.options import in_use
from preflab.planning.asking import inspect, needs, waiting, words
from preflab.planning.checks import DIFFERENT_TOKENIZERS
from preflab.planning.objectives import unmeasured
from preflab.planning.recipes import digest
from preflab.planning.run import Run, Stage
from preflab.planning.sizing import DISK, reward_networks, shared, size, sized
from preflab.precision import on_gpu
from preflab.records import RECORD_TYPES
from preflab.runtime import Device, Sharding, as_launched
from preflab.sampling import reads_parts
from preflab.terminal import duration


def preflight(environment: Environment, pending: Sequence[Stage]) -> list[Notice]:
    """Sentences for people, each once. pending: the stages to be made; with none of them nothing is
    read. `UserError` for what is known to fail, with the cure for this command."""
    run = environment.run
    if not pending:
        return [*_decided(run), *_rates(run)]
    check_checkpoints(run, pending)
    choices = run.all_choices()
    notices = [_notice(choice, said) for choice in choices for said in inspect(choice).notices]
    # The model first: it is quickly looked at, and filters may read its tokens.
    notices += _said_by(run.choices["policy"], StageContext(environment, "policy"), environment)
    with blamed(*run.choices.values(), *run.preparation):
        _check_terms(pending)
        _check_scalar(environment, pending)
        _check_compile(environment)
        _check_engine(environment, pending)
        _read_records(environment, pending)
        _check_tokenizers(environment)
    for choice, context in _asked(environment, pending):
        notices += _said_by(choice, context, environment)
    _check_prompts(environment, pending)
    notices += [_notice(choice, _LEFT_OUT.format(choice)) for choice in environment.left_out]
    ahead = [*_of_sharding(environment), *_of_offload(run), *judges_itself(run), *_unread(run)]
    ahead += [*_of_devices(environment), *unmeasured(run), *_truth_as_text(run)]
    notices += [Notice("", said) for said in ahead]
    # Last, when everything that the stages read has been through the filters.
    of_records = [Notice("data", said) for said in environment.records.notices()]
    return list(dict.fromkeys([*_decided(run), *_rates(run), *of_records, *notices]))


def key(stage: Stage) -> str:
    """Equal for stages of two jobs that are asked the same and would say the same: what they
    compute is the same but for the seed and the stages before (not how these are used)."""
    alike = {name: stage.recipe[name] for name in ("stage", "component", "data", "filters")}
    chosen = {
        group: used if isinstance(used, dict) else used.partition(" ")[2]
        for group, used in stage.recipe["uses"].items()
    }
    return digest({**alike, "uses": chosen, "transforms": stage.recipe.get("transforms")})


def _asked(
    environment: Environment, pending: Sequence[Stage]
) -> Iterable[tuple[Choice, StageContext]]:
    """The choices that the stages use besides the policy, nested ones included, in the order of the
    config groups; not those of stages that are finished already, or that this run does not make."""
    run = environment.run
    stages = {run.graph[stage.name].group: stage for stage in pending}
    others = {
        spec.group
        for spec in run.graph
        if run.makes_stage(spec.name) and not in_use(run.choices[spec.group].config)
    } - stages.keys()
    used = {group for stage in pending for group in run.graph.used(stage.name)}
    wanted = {"data", *RECORD_TYPES, *used, *stages} - others - {"policy"}
    for group in (g for g in run.graph.groups if g in wanted & run.choices.keys()):
        if waiting(run.choices[group]):  # a source of records that no stage reads yet
            continue
        stage = stages.get(group)
        name, seed = (stage.name, stage.seed) if stage else (group, None)
        context = StageContext(environment, name, seed=seed, ahead=True)
        for choice in run.choices[group].all():
            yield choice, context
    for choice in run.preparation:
        yield choice, StageContext(environment, choice.key)


_LEFT_OUT = (
    "{0.key}={0.name} reads every record with a model, so that what it leaves out is known "
    "once the run has begun. Here all records are looked at."
)


def _decided(run: Run) -> list[Notice]:
    return [Notice("", said) for said in run.said]


def _notice(choice: Choice, said: str) -> Notice:
    return Notice(choice.key.partition(".")[0], said)


def _rates(run: Run) -> Iterator[Notice]:
    """A sentence on learning rates that ruin the weights that the policy brings, or that are too
    low for adapters; also those of stages that are finished, since the others go on from them."""
    policy = inspect(run.choices["policy"])
    if policy.pretrained:
        choices = [choice for stage in run.stages for choice in stage.choice.all()]
        found = [rate for choice in choices for rate in rates(choice.config, choice.key)]
        if policy.parameters:
            yield from (Notice("", said) for said in far_above(found, policy.parameters))
        elif policy.shape and policy.shape.adapters:
            yield from (Notice("", said) for said in too_low(found, policy.shape.weights))


def _of_sharding(environment: Environment) -> Iterator[str]:
    """What ``accelerate launch`` asks for, and weights that are to be divided where there is nobody
    to divide them with."""
    asked, runtime = environment.run.settings.runtime, environment.runtime.config
    taken = ("sharding", "reshard", "checkpointing")
    values = ((key, getattr(asked, key), getattr(runtime, key)) for key in taken)
    if words := [f"runtime.{key}={str(new).lower()}" for key, old, new in values if old != new]:
        yield (
            f"accelerate launch --use_fsdp is taken as {' '.join(words)}. How blocks "
            "are wrapped and checkpoints are written is preflab's own; other FSDP options are not "
            "read."
        )
    if runtime.sharding is Sharding.none:
        if environment.run.settings.checkpoint.sharded:
            yield (
                "checkpoint.sharded=true changes nothing: every process has all weights. It is for "
                "runtime.sharding=full with several processes."
            )
        return
    if runtime.processes == 1:
        yield (
            "runtime.sharding=full changes nothing: the job has one process, which holds all "
            "weights. Give runtime.processes=N, or start several with torchrun."
        )


def _unread(run: Run) -> Iterator[str]:
    """Records from a source of their own that no stage of this run needs."""
    groups = {
        group
        for stage in run.stages
        for group in (run.graph[stage.name].group, *run.graph.used(stage.name))
    }
    needed = {word for group in groups & run.choices.keys() for word in words(run.choices[group])}
    if run.makes_stage("reward_model"):  # its rewards are centred on demonstrations
        needed.add("demonstrations")
    for record_type in (t for t in RECORD_TYPES if t in run.choices and t not in needed):
        yield (
            f"{run.typed(record_type)}: no stage of this run reads them. "
            f"{record_type}=null leaves them out."
        )


def _truth_as_text(run: Run) -> Iterator[str]:
    """Texts that are the word True or False: a file's ``no`` or ``on`` without quotes is one."""
    whole = (*run.choices.values(), *run.preparation, *run.trackers)
    for key, config in (*((choice.key, choice.config) for choice in whole), ("", run.settings)):
        for place, text in _texts(config, key):
            if text in ("True", "False"):
                yield (
                    f"{place} is the text '{text}': YAML reads yes, no, on, off, true and false as "
                    "that. If you mean the word, put it into quotes."
                )


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """The texts in a config, at any depth, by their keys."""
    if isinstance(value, str):
        yield place, value
    elif dataclasses.is_dataclass(value):
        for name, held in vars(value).items():
            yield from _texts(held, f"{place}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from _texts(held, f"{place}.{key}")
    elif isinstance(value, list):
        for number, held in enumerate(value):
            yield from _texts(held, f"{place}.{number}")


def _of_offload(run: Run) -> Iterator[str]:
    """Frozen networks that are to leave memory where there are none. Configs say by a method
    ``offloaded()`` which of "reference" and "reward_model" leave it."""
    if not run.settings.runtime.offload:
        return
    networks = {"reference": 1, "reward_model": reward_networks(run)}
    there, leaving = set[str](), set[str]()
    for stage in run.stages:
        stays = shared(run, stage)
        said: Sequence[str] = getattr(stage.choice.config, "offloaded", tuple)()
        parts = {part for part in said if networks.get(part)}
        there |= parts
        leaving |= {part for part in parts if networks[part] > stays.get(part, 0)}
    if leaving:
        folder = tempfile.gettempdir()
        if not on_gpu(run.settings.runtime) and in_memory(folder):
            yield (
                f"runtime.offload=true frees no memory of this machine: the file goes into {folder}"
                ", which is in memory itself (tmpfs). Name a folder on a disk with TMPDIR."
            )
        return
    why = "this job has neither there"
    if there:
        why = (
            "with adapters (policy.lora) what there is of them is on the weights of the networks "
            "in training, which stay"
        )
    yield (
        "runtime.offload=true changes nothing: it frees the memory of a frozen reference or "
        f"reward model while an on-policy algorithm updates, and {why}."
    )


def _of_devices(environment: Environment) -> Iterator[str]:
    """Options of GPUs and of divided weights where there are none, and GPUs that nobody uses."""
    runtime = environment.runtime.config
    if runtime.decode_graphs and not on_gpu(runtime):
        yield (
            "runtime.decode_graphs=true changes nothing: it is for sampling on a GPU, and this job "
            "computes on the CPU."
        )
    if not runtime.reshard and runtime.sharding is Sharding.none:
        yield (
            "runtime.reshard=false changes nothing: every process has all weights. It is for "
            "runtime.sharding=full with several processes."
        )
    gpus, processes = runtime.gpus_per_job or 0, runtime.processes
    if gpus > processes:
        yield (
            f"runtime.gpus_per_job={gpus}: {gpus - processes} of these GPUs are held and not used, "
            f"since each process computes on one and the job has {processes}. Give "
            f"runtime.gpus_per_job={processes}, or runtime.processes={gpus}."
        )


def _check_prompts(environment: Environment, pending: Sequence[Stage]) -> None:
    """The training prompts of stages that sample for a policy of theirs and say nothing
    themselves."""
    run = environment.run
    for stage in pending:
        samples = "prompts" in needs(stage.choice) and "rollout" in run.graph.used(stage.name)
        if stage.makes and samples and not stage.choice.component.looks_ahead:
            context = StageContext(environment, stage.name, seed=stage.seed, ahead=True)
            with blamed(stage.choice, *run.choices.values(), *run.preparation):
                check_prompts(context, context.records("prompts", "train"))


REFUSED = "A run would be refused: {0}"
"""What a plan says of what a run needs and does not find."""


def _said_by(choice: Choice, context: StageContext, environment: Environment) -> list[Notice]:
    run = environment.run
    with blamed(choice, *run.choices.values(), *run.preparation):
        try:
            said = choice.component.preflight(choice.config, context)
            notices = [] if isinstance(said, str) else list(said)
        except Absent as error:
            if not environment.plans:
                raise
            said = notices = [REFUSED.format(error)]
    if isinstance(said, str) or not all(isinstance(notice, str) for notice in notices):
        raise PluginError(
            f"{choice.component.kind} '{choice.name}' of {choice.plugin.label}: preflight returned "
            f"{said!r}, which must be sentences (strings) in a list"
        )
    return [_notice(choice, notice) for notice in notices]


def _read_records(environment: Environment, pending: Sequence[Stage]) -> None:
    """Read and filter what the stages read; what they train on must be there."""
    needed = {need for stage in pending for need in needs(stage.choice)}
    counts = environment.run.counts()
    for record_type in RECORD_TYPES:
        if record_type in counts and record_type in needed:
            environment.records.split(record_type, "train")
        elif record_type in counts and any(n.startswith(f"{record_type}:") for n in needed):
            environment.records.split(record_type, "test")


def _check_terms(pending: Sequence[Stage]) -> None:
    """A gradient term of sampled responses needs an algorithm that reads prompts: others sample
    none. What is built by a function and not by a class is refused when the stage begins."""
    for stage in pending:
        if "prompts" in needs(stage.choice):
            continue
        terms = (c for c in stage.choice.nested if c.component.kind == "gradient_term")
        for term in (t for t in terms if t.config.coef != 0):
            build = term.component.build
            builder = build.target() if isinstance(build, Place) else build
            if isinstance(builder, type) and issubclass(builder, SeesBatch):
                raise UserError(sees_no_batch(term.key.rpartition(".")[2]))


SLOWER = 2
"""So many times slower than `DISK` a disk may be before a save takes longer than its limit."""


def check_checkpoints(run: Run, pending: Sequence[Stage]) -> None:
    """`UserError` for a stage whose first save would end the job: it takes longer than a save may,
    though its disk does not hang."""
    saves, runtime = run.settings.checkpoint, as_launched(run.settings.runtime, os.environ)
    reckoned = [(stage.name, guess) for stage in pending if (guess := sized(run, stage))]
    if not reckoned:
        return
    name, largest = max(reckoned, key=lambda known: known[1].saving)
    seconds = largest.saving
    if SLOWER * seconds <= saves.limit_seconds:
        return
    part = seconds / runtime.processes
    helps = runtime.sharding is Sharding.full and SLOWER * part <= saves.limit_seconds
    sharded = f"checkpoint.sharded=true (each process writes its part, in {duration(part)}), or "
    limit, every = (math.ceil(factor * seconds / 100) * 100 for factor in (2 * SLOWER, 10))
    raise UserError(
        f"A checkpoint of {name} will have {size(largest.checkpoint)}, which take "
        f"{duration(seconds)} at {DISK / 1e6:.0f} MB/s and longer on a slower disk, and a save "
        f"that takes more than checkpoint.limit_seconds={saves.limit_seconds:g} ends the job. "
        f"Give {sharded if helps and not saves.sharded else ''}"
        f"checkpoint.limit_seconds={limit} checkpoint.every_seconds={every}."
    )


def _check_scalar(environment: Environment, pending: Sequence[Stage]) -> None:
    """Whether the policy's architecture has the scalar models that the stages make."""
    source = environment.policy_source
    if isinstance(source, ChecksScalar) and any("scalar_model" in needs(s.choice) for s in pending):
        source.check_scalar()


NOT_COMPILED = (
    "runtime.compile=true has nothing to compile: {0} computes in its own way, and only fast "
    "paths are compiled (of policy=tiny, pretrained, smollm2, lora). Leave runtime.compile out."
)


def _check_compile(environment: Environment) -> None:
    """`UserError` if `runtime.compile` has nothing to compile, or this machine no compiler: it
    is not left out in silence."""
    runtime = environment.runtime
    if not runtime.config.compile:
        return
    source = environment.policy_source
    if not isinstance(source, Compiles):
        raise UserError(NOT_COMPILED.format(environment.run.typed("policy")))
    source.check_compile()
    device = runtime.device.type
    if runtime.config.device is Device.cuda and device != "cuda":
        return  # a plan for another machine
    check_compilers(device)


def _check_engine(environment: Environment, pending: Sequence[Stage]) -> None:
    """Whether the rollout engine can read what stages divide: a policy that they train (they have
    an optimizer) and sample from (they read prompts)."""
    if not environment.runtime.config.divides:
        return
    run = environment.run
    for stage in pending:
        samples = "prompts" in words(stage.choice) and "rollout" in run.graph.used(stage.name)
        if samples and list(rates(stage.choice.config, stage.choice.key)):
            context = StageContext(environment, stage.name, seed=stage.seed, ahead=True)
            if not reads_parts(context.rollout()):
                raise UserError(CANNOT_READ.format(run.typed("rollout")))


def _check_tokenizers(environment: Environment) -> None:
    """A reward model that was given must read the policy's tokens; a tokenizer made from data is
    known only now."""
    for choice in environment.run.choices["reward_model"].all():
        theirs = inspect(choice).tokenizer
        if theirs and environment.policy_source.tokenizer.digest != theirs:
            raise UserError(DIFFERENT_TOKENIZERS)
