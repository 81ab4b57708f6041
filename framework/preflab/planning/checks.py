"""Whether the components of a run fit each other: refused before any work, with the key to
change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from preflab.components import NEEDS
from preflab.door.blame import blamed
from preflab.errors import PluginError, UserError, nearest
from preflab.planning.asking import inspect, needs, own_needs
from preflab.planning.run import Run
from preflab.records import RECORD_TYPES, SPLITS

DIFFERENT_TOKENIZERS = (
    "The tokenizers of policy and reward_model differ: token ids of one mean other words to the "
    "other. Train the reward model from this policy (reward_model=kwise), or name the policy that "
    "it was trained from."
)

_ROLES = ("policy", "own_policy")
"""Needs of a policy in a role."""


def check(run: Run) -> None:
    """`UserError` for components that do not fit each other."""
    counts = run.counts()
    for record_type, number in counts.items():
        source = run.source(record_type)
        if number == 0 and not inspect(source).waiting:
            raise UserError(f"{source.key}: there are no {record_type} in it, the set is empty.")
    groups = dict.fromkeys(run.graph[name].group for name in run.wanted())
    lacks = [lack for group in groups for lack in _lacks_of(run, group, counts)]
    if lacks:
        raise UserError(_said(lacks))
    policy = inspect(run.choices["policy"]).tokenizer
    rewards = (inspect(choice).tokenizer for choice in run.choices["reward_model"].all())
    if policy and any(reward and policy != reward for reward in rewards):
        raise UserError(DIFFERENT_TOKENIZERS)


def check_unchanged(run: Run) -> None:
    """`UserError` if a file or model that a component reads was changed since the run was
    checked: the recipes would name what is no longer there. What could not be used then is not
    used now."""
    for choice in (choice for choice in run.all_choices() if choice.key in run.inputs):
        if inspect(choice).content != run.inputs[choice.key]:
            raise UserError(
                f"{choice.key}: what it reads was changed after this command was checked. Give the "
                "command again."
            )


@dataclass(frozen=True)
class Lack:
    """What a run does not have. cure: the overrides that do without it; "" if there are none."""

    sentence: str
    cure: str


def _said(lacks: Sequence[Lack]) -> str:
    """All of it in one message, so that the next command is the last one."""
    sentences = list(dict.fromkeys(lack.sentence for lack in lacks))
    if len(sentences) > 1 and all(lack.cure for lack in lacks):
        cures = dict.fromkeys(word for lack in lacks for word in lack.cure.split())
        sentences.append(f"To do without all of it, add: {' '.join(cures)}")
    return "\n".join(sentences)


def _lacks_of(run: Run, group: str, counts: Mapping[str, int]) -> list[Lack]:
    """What the component of a group needs and does not find. Parts of it that can be left out are
    one lack."""
    without = _without(run, group, counts)
    lacks: list[Lack] = []
    for need in sorted(needs(run.choices[group])):
        lacks += _lacks(run, group, need, counts, without)
        if lacks and without:
            return lacks[:1]
    none = f"{group}=none"  # does without all that it lacks
    whole = any(lack.cure == none for lack in lacks)
    return [replace(lack, cure=none) for lack in lacks] if whole else lacks


def _lacks(
    run: Run, group: str, need: str, counts: Mapping[str, int], without: str
) -> Iterator[Lack]:
    choice = run.typed(group)
    word, _, role = str(need).partition(":")
    splits = role.split(",") if role and word in RECORD_TYPES else []
    if word not in NEEDS or not set(splits) <= set(SPLITS):
        raise PluginError(
            f"{choice} needs '{need}', which is not a valid need. {nearest(need, NEEDS)}"
        )
    lack = _lacks_role(run, group, need) if word in _ROLES else _lack(run, group, need, counts)
    if lack:
        none = f"{group}=none"
        cure = without or (none if f"choose {none}" in lack else "")
        also = f" Or leave out what needs it: {without}." if without else ""
        yield Lack(f"{choice} {lack}{also}", cure)
        return
    asked = word == "labeler" or (word == "reward_model" and not run.makes_stage(word))
    for more in sorted(needs(run.choices[word])) if asked else ():
        yield from _lacks(run, word, more, counts, _without(run, word, counts))


def _without(run: Run, group: str, counts: Mapping[str, int]) -> str:
    """The overrides that leave out the parts of a component whose needs the run does not meet; ""
    if the component itself has such needs."""
    whole, words = run.choices[group], []
    for part in whole.all():
        known = [need for need in own_needs(part) if need.partition(":")[0] in NEEDS]
        named = [need for need in known if need.partition(":")[0] not in _ROLES]
        lacking = [need for need in named if any(_lacks(run, group, need, counts, ""))]
        if lacking and part is whole:
            return ""
        if lacking:
            words.append(f"{part.key}=null")
    return " ".join(words)


def _lack(run: Run, group: str, need: str, counts: Mapping[str, int]) -> str:
    """What the run lacks of a need, as a part of a sentence; "" if nothing."""
    word = need.partition(":")[0]
    special = _LACKS.get(need, _LACKS.get(word))
    return special(run, group) if special else _lacks_records(run, word, counts, group)


def _lacks_reward_model(run: Run, group: str) -> str:
    if run.choices["reward_model"].name != "none":
        return ""
    allowed = ", ".join(name for name in run.registry.names("reward_model") if name != "none")
    return f"needs a reward model, but reward_model=none. Allowed: {allowed}."


def _lacks_members(run: Run, group: str) -> str:
    lack, config = _lacks_reward_model(run, group), run.choices["reward_model"].config
    if lack or getattr(config, "of_members", bool)():
        return lack
    return (
        "needs the rewards of several members, for example of groups of people, and "
        f"{run.typed('reward_model')} gives one for all. Choose reward_model=kwise_groups, with "
        "any welfare but worst and without weights_by_tag, or a combination: reward_model=sum."
    )


def _lacks_variance(run: Run, group: str) -> str:
    lack, config = _lacks_reward_model(run, group), run.choices["reward_model"].config
    if lack or getattr(config, "of_variance", bool)():
        return lack
    return (
        "needs a reward model that says how much people differ about a response, and "
        f"{run.typed('reward_model')} says what it is worth alone. Choose "
        "reward_model=kwise_mean_variance."
    )


def _lacks_samples(run: Run, group: str) -> str:
    if run.makes_stage("samples"):
        return ""
    allowed = ", ".join(name for name in run.registry.names("samples") if name != "none")
    return (
        f"needs responses to rank, but samples=none. Allowed: {allowed}. Or give rankings, or "
        f"choose {group}=none."
    )


def _lacks_labelers(run: Run, group: str) -> str:
    if run.choices["labeler"].name != "none":
        return ""
    return f"asks people, but labeler=none: give rankings, or choose {group}=none."


def _lacks_opinions(run: Run, group: str) -> str:
    lack, labeler = _lacks_labelers(run, group), run.choices["labeler"]
    if lack or not inspect(labeler).on_record:
        return lack
    return (
        "asks people what they think of responses that nobody has shown them, but "
        f"{run.typed('labeler')} knows only what its people have said of others. Choose a labeler "
        "who can be asked."
    )


def _lacks_ratings(run: Run, group: str) -> str:
    labeler = run.choices["labeler"]
    cure = "" if "rankings" in run.counts() else inspect(labeler).unrated
    if not cure:  # those of the data are looked at when they are read
        return ""
    return (
        f"needs a rating of each response, but {run.typed('labeler')} ranks without rating: {cure}."
    )


def _lacks_gold(run: Run, group: str) -> str:
    data, choice = run.choices["data"], run.choices[group]
    if inspect(data).gold:
        return ""
    if group == "labeler":
        cure = f"Give rankings with {_place(run, 'rankings')}=FILE, or choose comparisons=none."
    elif "gold" in own_needs(choice):
        cure = f"Choose another {group}, or data=microworld."
    else:
        cure = "Use data=microworld."
    return (
        f"needs the true utility of responses, but {run.typed('data')} is not a simulated world. "
        f"{cure}"
    )


def _lacks_pretraining(run: Run, group: str) -> str:
    policy = run.choices["policy"]
    if inspect(policy).pretrained or run.makes_stage("pretrain"):
        return ""
    return (
        f"needs a policy with pretrained weights, but {run.typed('policy')} starts from random "
        "ones and pretrain=none. Use pretrain=documents or policy=pretrained policy.path=FOLDER."
    )


def _lacks_role(run: Run, group: str, need: str) -> str:
    word, _, named = need.partition(":")
    role, _, checkpoint = named.partition("/")
    key = _key(run.choices[group].config, named, group)
    wants = f"needs the policy in the role '{named}'{f' ({key})' if key else ''}"
    roles = run.graph.roles
    if role not in roles:
        return f"{wants}, which no stage makes. {nearest(role, roles)}"
    maker = run.graph[run.graph.makers(role)[0]]
    made = maker.name in run.wanted()
    if checkpoint and not made:
        return f"{wants}, but this run makes no stage '{maker.name}', which would keep it."
    if checkpoint:
        choice = run.choices[maker.group]
        says = choice.component.checkpoint
        with blamed(choice):
            lack = says(choice.config, checkpoint) if says else ""
        return f"{wants}, but {run.typed(choice.key)} {lack}." if lack else ""
    brought = maker is run.graph[run.graph.makers("base")[0]] and _brings_weights(run)
    if word == "policy" or made or brought or not maker.optional:
        return ""
    return (
        f"{wants}, but this run makes no stage '{maker.name}', so that it would be the policy of "
        "an earlier stage. Name another role, or a model folder."
    )


def _brings_weights(run: Run) -> bool:
    return inspect(run.choices["policy"]).pretrained


def _key(config: Any, value: str, above: str) -> str:
    """The key of the first option with a value; "" if there is none."""
    for name, held in vars(config).items():
        if held == value:
            return f"{above}.{name}"
        if is_dataclass(held) and (found := _key(held, value, f"{above}.{name}")):
            return found
    return ""


def _lacks_records(run: Run, record_type: str, counts: Mapping[str, int], group: str) -> str:
    made = record_type == "rankings" and run.makes_stage("comparisons")
    if record_type in counts or made:
        return ""
    source = run.source(record_type)
    if run.graph[_stage(run, group)].makes == "base":
        other = "start from a model that has weights: policy=pretrained policy.path=FOLDER"
    elif any(need.partition(":")[0] == record_type for need in own_needs(run.choices[group])):
        other = f"choose {group}=none"
    else:
        other = ""
    return (
        f"needs {record_type}, but {run.typed(source.key)} has none. Give them with "
        f"{_place(run, record_type)}=FILE{f', or {other}' if other else ''}."
    )


def _place(run: Run, record_type: str) -> str:
    """The key that takes a file of a type of records."""
    source = run.source(record_type)
    direct = hasattr(source.config, record_type)
    return f"{source.key}.{record_type}" if direct else f"{record_type}=files {record_type}.path"


def _stage(run: Run, group: str) -> str:
    return next(spec.name for spec in run.graph if spec.group == group)


def _lacks_nothing(run: Run, group: str) -> str:
    return ""


_LACKS: Mapping[str, Callable[[Run, str], str]] = {
    "scalar_model": _lacks_nothing,  # the preflight asks the policy's source, which reads its files
    "samples": _lacks_samples,
    "reward_model": _lacks_reward_model,
    "reward_model:members": _lacks_members,
    "reward_model:variance": _lacks_variance,
    "labeler": _lacks_labelers,
    "labeler:any": _lacks_opinions,
    "ratings": _lacks_ratings,
    "gold": _lacks_gold,
    "pretrained": _lacks_pretraining,
}
"""By need: what the run lacks for the component of a config group; "" if nothing."""
