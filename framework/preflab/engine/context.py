"""What components are given: the records, models and people of a run, by role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.engine.comparing import prepared
from preflab.engine.data import Records
from preflab.engine.scoring import shared
from preflab.errors import PluginError, StorageError, UserError, nearest
from preflab.interfaces import (
    DataSource,
    Gold,
    HasNetwork,
    HeadsModel,
    Labeler,
    LoadsHeads,
    Policy,
    PolicySource,
    Procedure,
    RewardModel,
    RolloutEngine,
    ScalarModel,
    Tokenizer,
    World,
)
from preflab.models import to_be_trained
from preflab.planning.asking import waiting
from preflab.planning.run import Run
from preflab.randomness import Streams, derive_seed
from preflab.records import (
    RANKINGS_FILE,
    RECORD_TYPES,
    Ranking,
    RecordType,
    Rollout,
    Split,
    ranking_from_json,
)
from preflab.responders import PolicyResponder
from preflab.sampling import Agreement, to_be_sampled
from preflab.storage.artifacts import read_rows

if TYPE_CHECKING:
    from preflab.interfaces import Responder
    from preflab.runtime import Runtime


class Environment:
    """Everything of one run that stages share; built lazily, once per process."""

    def __init__(
        self, run: Run, observe: Callable[..., None], looks: bool = False, plans: bool = False
    ) -> None:
        """looks: nothing is made of it, so that filters that work for a verdict (``works()`` of
        their config) are left out; plans: nobody is about to make anything, so that what is not
        there now (`preflab.errors.Absent`) is said and not refused."""
        self.run, self.observe, self.looks, self.plans = run, observe, looks, plans
        self.artifacts: dict[str, Path] = {}
        """Folders of the finished stages, by name."""
        self.agreement = Agreement()
        """How near the rollout engine was to the policies that it sampled from."""

    @cached_property
    def runtime(self) -> Runtime:
        """Devices and processes."""
        from preflab.runtime import Runtime

        return Runtime(self.run.settings.runtime, self.looks)

    def build(self, choice: Choice, context: StageContext) -> Any:
        """The object that a component builds; a failure names its plugin."""
        name = f"{choice.component.kind} '{choice.name}' of {choice.plugin.label}"
        if choice.component.build is None:
            raise PluginError(f"{name} builds nothing that others can use")
        build = partial(choice.component.build, choice.config)
        with blamed(choice):
            if choice.component.kind == "reward_model":
                built = shared(build, context, self.runtime, choice)
            else:
                built = build(context)
        if built is None:
            raise PluginError(f"{name} built None")
        return built

    @cached_property
    def sources(self) -> dict[str, DataSource]:
        """The data source of each group that names one, as far as it can be used yet."""
        groups = [g for g in ("data", *RECORD_TYPES) if g in self.run.choices]
        usable = [g for g in groups if not waiting(self.run.choices[g])]
        return {g: self.build(self.run.choices[g], StageContext(self, g)) for g in usable}

    @cached_property
    def records(self) -> Records:
        """All records, filtered."""
        groups = {t: t if t in self.run.choices else "data" for t in self.run.counts()}
        by_type = {t: self.sources[g] for t, g in groups.items() if g in self.sources}
        filters, transforms = (
            {c.key.partition(".")[2]: self.build(c, StageContext(self, c.key)) for c in those}
            for those in (self.run.filters, self.run.transforms)
        )
        for choice in self.left_out:
            del filters[choice.key.partition(".")[2]]
        needed = {
            need: choice.key
            for stage in self.run.stages
            for choice in stage.choice.all()
            for need in choice.component.needs(choice.config)
        }
        return Records(by_type, filters, needed, transforms)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the members of the reward model, as far as its config knows them."""
        said = getattr(self.run.choices["reward_model"].config, "member_names", None)
        return tuple(said(StageContext(self, "reward_model", ahead=True))) if said else ()

    @property
    def left_out(self) -> list[Choice]:
        """The filters that are not applied, because they would work."""
        return [c for c in self.run.filters if self.looks and getattr(c.config, "works", bool)()]

    @cached_property
    def policy_source(self) -> PolicySource:
        """Where the causal LM comes from."""
        source: PolicySource = self.build(self.run.choices["policy"], StageContext(self, "policy"))
        return source

    def model_folder(self, role: str) -> Path | None:
        """The folder of a role's policy; None: the policy as it was created."""
        name, _, checkpoint = role.partition("/")
        makers = self._makers(name)
        if checkpoint:
            return self._checkpoint(role, self.artifacts.get(makers[0]), checkpoint)
        for stage in makers:
            folder = self.artifacts.get(stage)
            if folder is None:
                continue
            if not folder.is_dir():  # another role's model must not take its place
                raise StorageError(f"The artifact of {stage} is not there any more: {folder}")
            if (folder / "model").is_dir():
                return folder / "model"
        return None

    def _checkpoint(self, role: str, artifact: Path | None, name: str) -> Path:
        folder = (artifact or Path()) / "checkpoints"
        if artifact is None or not (folder / name).is_dir():
            kept = sorted(p.name for p in folder.glob("*")) if artifact else []
            raise UserError(
                f"There is no policy in the role '{role}': {role.partition('/')[0]} keeps "
                f"{', '.join(kept) or 'no checkpoints'}."
            )
        return folder / name

    def checkpoints(self, role: str) -> Path:
        """The folder of the checkpoints that the stage of a role kept."""
        return self.artifacts[self._makers(role)[0]] / "checkpoints"

    def _makers(self, role: str) -> list[str]:
        roles = self.run.graph.roles
        if role not in roles:
            allowed = nearest(role, [*roles, "sft/CHECKPOINT"])
            raise UserError(f"There is no policy in the role '{role}'. {allowed}")
        return self.run.graph.makers(role)


class StageContext:
    """The `interfaces.Context` of one stage, or of one component that makes none. ahead: nothing is
    made with it, so that what it reads need not be in the stage's recipe."""

    def __init__(
        self,
        environment: Environment,
        stage: str,
        folder: Path | None = None,
        seed: int | None = None,
        ahead: bool = False,
    ) -> None:
        self._environment, self._ahead = environment, ahead
        self.stage = stage
        self.folder = folder if folder is not None else Path()
        self.seed = environment.run.settings.seed if seed is None else seed
        self.streams = Streams(self.seed, stage)
        self._reward: Any = None
        """The reward model once it is built: a value network with adapters shares its weights."""

    @property
    def runtime(self) -> Runtime:
        return self._environment.runtime

    def records(self, record_type: RecordType, split: Split) -> Sequence[Any]:
        if self.has(record_type):
            self._must_declare("data", record_type, "needs of the component, or in the reads")
        return self._environment.records.split(record_type, split)

    def has(self, record_type: RecordType) -> bool:
        return record_type in self._environment.run.counts()

    def rankings(self, split: Split) -> Sequence[Ranking]:
        folder = self.artifact("comparisons")
        if folder is None:
            return self.records("rankings", split)
        rankings = map(ranking_from_json, read_rows(folder / RANKINGS_FILE))
        return [ranking for ranking in rankings if ranking.split == split]

    def artifact(self, stage: str) -> Path | None:
        return self._environment.artifacts.get(stage)

    @property
    def vocabulary(self) -> Sequence[str] | None:
        data = self._environment.sources["data"]
        return data.vocabulary if isinstance(data, World) else None

    @property
    def gold(self) -> Gold | None:
        data = self._environment.sources["data"]
        return data.gold if isinstance(data, World) else None

    @property
    def tokenizer(self) -> Tokenizer:
        return self._environment.policy_source.tokenizer

    @property
    def max_positions(self) -> int | None:
        return self._environment.policy_source.max_positions

    def in_front(self, role: str = "") -> Sequence[str]:
        run = self._environment.run
        own = next((spec.group for spec in run.graph if spec.name == self.stage), "")
        group = "algorithm" if role == "result" else "" if role else own
        said = getattr(run.choices[group].config, "in_front", None) if group else None
        context = StageContext(self._environment, group or self.stage, ahead=True)
        return tuple(said(context)) if said else ("",)

    def members(self) -> Sequence[str]:
        return self._environment.members

    def policy(self, role: str) -> Policy:
        policy = self.saved_policy(role)
        return to_be_trained(policy, self._adapters) or policy

    def saved_policy(self, role: str) -> Policy:
        """The policy of a role as it was saved, without adapters to be trained."""
        source, folder = self._environment.policy_source, self._environment.model_folder(role)
        if folder:
            return self.load_policy(folder)
        policy = source.create(self._initialisation())
        policy.module.to(self.runtime.device)
        return policy

    def sampled_policy(self, of: str | Path) -> Policy:
        def load() -> Policy:
            return self.load_policy(of) if isinstance(of, Path) else self.saved_policy(of)

        return to_be_sampled(load, self.rollout(), self.runtime)

    def _adapters(self) -> Any:
        """What new adapters are drawn from: the same in every process, and at every call."""
        import torch

        return torch.Generator().manual_seed(derive_seed(self.seed, self.stage, "adapters"))

    def _initialisation(self) -> Any:
        import torch

        # The first stage's seed: every later stage has that stage in its recipe, with its seed.
        stages = self._environment.run.stages
        seed = stages[0].seed if stages else self.seed
        return torch.Generator().manual_seed(derive_seed(seed, "policy", "initialisation"))

    def checkpoints(self, role: str) -> Sequence[str]:
        folder = self._environment.checkpoints(role)
        return sorted((p.name for p in folder.glob("*")), key=lambda name: (len(name), name))

    def responder(self, role: str) -> Responder:
        algorithm = self._environment.run.choices["algorithm"]
        if role == "result" and algorithm.component.build is not None:
            built: Responder = self._environment.build(algorithm, self._of_stage("algorithm"))
            return built
        return PolicyResponder(self.sampled_policy(role), self.rollout())

    def _must_declare(self, part: str, name: str, where: str) -> None:
        """`PluginError` for what is not in the recipe of this stage: with other content the stage
        would be reused all the same. where: what declares it."""
        stage = None if self._ahead else self._environment.run.stage(self.stage)
        if stage is not None and name not in stage.recipe[part]:
            raise PluginError(
                f"{stage.choice.component.kind} '{stage.choice.name}' of "
                f"{stage.choice.plugin.label} uses {name} without declaring it, so that its result "
                f"would be reused when {name} changes: declare it in the {where} of the StageSpec."
            )

    def reward_model(self) -> RewardModel:
        self._must_declare("uses", "reward_model", "uses")
        if self._reward is None:
            choice = self._environment.run.choices["reward_model"]
            self._reward = self._environment.build(choice, self._of_stage("reward_model"))
        built: RewardModel = self._reward
        return built

    def _of_stage(self, name: str) -> StageContext:
        """The context in which the component of a finished stage is built."""
        return StageContext(self._environment, name, self.artifact(name), self.seed)

    def reward_network(self) -> ScalarModel | None:
        reward_model = self.reward_model()
        if not isinstance(reward_model, HasNetwork) or reward_model.network is None:
            return None
        if adapted := to_be_trained(reward_model.network, self._adapters):
            return adapted
        copy = reward_model.network.copy()
        copy.module.requires_grad_(True)
        return copy

    def load_policy(self, folder: Path) -> Policy:
        policy = self._environment.policy_source.load(folder)
        policy.module.to(self.runtime.device)
        return policy

    def load_scalar(self, folder: Path) -> ScalarModel:
        model = self._environment.policy_source.load_scalar(folder)
        model.module.to(self.runtime.device)
        return model

    def load_heads(self, folder: Path) -> HeadsModel:
        source = self._environment.policy_source
        if not isinstance(source, LoadsHeads):
            raise UserError(f"{folder}: this policy reads no models with several heads.")
        model = source.load_heads(folder)
        model.module.to(self.runtime.device)
        return model

    def rollout(self) -> RolloutEngine:
        self._must_declare("uses", "rollout", "uses")
        choice = self._environment.run.choices["rollout"]
        built: RolloutEngine = self._environment.build(choice, self)
        return prepared(built, self.runtime, self._environment.agreement)

    def labeler(self) -> Labeler:
        self._must_declare("uses", "labeler", "uses")
        built: Labeler = self._environment.build(self._environment.run.choices["labeler"], self)
        return built

    def component(self, kind: str, config: Any) -> Any:
        return self._environment.build(self._choice(kind, config), self)

    def procedure(self, kind: str, config: Any) -> Procedure | None:
        choice = self._choice(kind, config)
        if choice.component.procedure is None:
            return None
        with blamed(choice):
            return choice.component.procedure(config, self)

    def _choice(self, kind: str, config: Any) -> Choice:
        registry = self._environment.run.registry
        component = registry.component(kind, config.name)
        plugin = registry.provider(kind, config.name)
        return Choice(kind, component, plugin, config)

    def key_of(self, config: Any) -> str:
        choices = self._environment.run.all_choices()
        return next((choice.key for choice in choices if choice.config is config), self.stage)

    def within(self, name: str, seed: int | None = None) -> StageContext:
        own = derive_seed(self.seed, name) if seed is None else seed
        part = StageContext(self._environment, self.stage, self.folder / name, own, self._ahead)
        part.streams = self.streams.within(name)
        return part

    def rollout_finished(
        self, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        arguments = {"stage": self.stage, "step": step, "rollout": rollout, "values": values}
        self._environment.observe("preflab_rollout_finished", **arguments)
