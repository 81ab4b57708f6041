"""For plugin authors: contract suites, tiny fixtures, and a pytest plugin. Importing it imports
no torch.

    # tests/test_mine.py
    from preflab.testing import AlgorithmContract

    class TestMine(AlgorithmContract):
        name = "mine"
        overrides = ["algorithm.lr=0.1"]

The fixture ``preflab_run("algorithm=mine", ...)`` runs the whole engine, small, in a temporary
folder.
"""

from preflab.testing.algorithms import AlgorithmContract, ResponderContract
from preflab.testing.case import Case
from preflab.testing.components import ComponentContract
from preflab.testing.context import FakeContext, component, cpu_runtime
from preflab.testing.data_sources import DataSourceContract
from preflab.testing.evaluators import EvaluatorContract
from preflab.testing.fast_run import FastRun
from preflab.testing.filters import FilterContract
from preflab.testing.gradient_terms import GradientTermContract
from preflab.testing.labelers import LabelerContract
from preflab.testing.observers import ObserverContract
from preflab.testing.policies import PolicyContract
from preflab.testing.procedures import ProcedureContract
from preflab.testing.reward_models import RewardModelContract
from preflab.testing.reward_shapings import RewardShapingContract
from preflab.testing.rollout_engines import RolloutEngineContract
from preflab.testing.samplers import SamplerContract
from preflab.testing.trackers import TrackerContract
from preflab.testing.transforms import TransformContract
from preflab.testing.world import WORDS, TinyGold, TinyLabeler, TinyReward, tiny_pool, tiny_records

__all__ = [
    "WORDS",
    "AlgorithmContract",
    "Case",
    "ComponentContract",
    "DataSourceContract",
    "EvaluatorContract",
    "FakeContext",
    "FastRun",
    "FilterContract",
    "GradientTermContract",
    "LabelerContract",
    "ObserverContract",
    "PolicyContract",
    "ProcedureContract",
    "ResponderContract",
    "RewardModelContract",
    "RewardShapingContract",
    "RolloutEngineContract",
    "SamplerContract",
    "TinyGold",
    "TinyLabeler",
    "TinyReward",
    "TrackerContract",
    "TransformContract",
    "component",
    "cpu_runtime",
    "tiny_pool",
    "tiny_records",
]
