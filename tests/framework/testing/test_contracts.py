"""Each contract catches the faults it is there for: every component of faulty.py is wrong in one
way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preflab.composing import search_path
from preflab.door import discovery
from preflab.testing import (
    AlgorithmContract,
    Case,
    ComponentContract,
    DataSourceContract,
    EvaluatorContract,
    FilterContract,
    GradientTermContract,
    LabelerContract,
    ObserverContract,
    PolicyContract,
    RewardModelContract,
    RewardShapingContract,
    RolloutEngineContract,
)

pytestmark = pytest.mark.slow

A, R, S, G, D, L, E, P, ENGINE, F = (
    AlgorithmContract,
    RewardModelContract,
    RewardShapingContract,
    GradientTermContract,
    DataSourceContract,
    LabelerContract,
    EvaluatorContract,
    PolicyContract,
    RolloutEngineContract,
    FilterContract,
)
RESUMED = "test_killed_and_resumed_it_gives_the_same_bits"
GLOBALS = "test_global_random_numbers_are_not_used"
DECLARED = "test_it_asks_only_for_what_it_declares"
FAULTS = [
    (A, "lazy", "test_it_changes_the_policy", "no weight has changed"),
    (A, "wordy", "test_it_reports_numbers_by_name", r"metrics must be numbers: \['done'\]"),
    (A, "forgetful", RESUMED, "metric done of step 1: 2.0 and 1.0"),
    (
        A,
        "stubborn",
        "test_its_state_is_taken_over_whole",
        "load_state_dict does not take over: state.policy",
    ),
    (A, "stubborn", RESUMED, "model.safetensors differs"),
    (A, "global_noise", GLOBALS, "generator of torch was used"),
    (A, "python_noise", GLOBALS, "generator of python was used"),
    (
        A,
        "python_noise",
        "test_the_seed_alone_decides_the_bits",
        "two runs from the same seed",
    ),
    (
        A,
        "seedless",
        "test_the_seed_alone_decides_the_bits",
        "another seed gives the same bits",
    ),
    (A, "averages", "test_micro_batches_change_no_loss", "never average means"),
    (A, "undeclared", DECLARED, "uses documents without declaring so"),
    (
        A,
        "deaf",
        "test_without_the_records_it_needs_it_says_so",
        "needs prompts, and runs without them",
    ),
    (
        A,
        "lazy",
        "test_registering_imports_no_heavy_library",
        "imports torch, which makes every command slow",
    ),
    (
        R,
        "centred",
        "test_a_score_depends_on_nothing_else_in_the_batch",
        "among others and .* alone",
    ),
    (R, "column", "test_it_scores_every_response", r"shape \(6, 1\)"),
    (R, "double", "test_it_scores_every_response", "torch.float64, not float32"),
    (R, "infinite", "test_it_scores_every_response", "not finite"),
    (R, "trainable", "test_it_scores_every_response", "a reward model is frozen"),
    (R, "noisy", "test_scoring_is_repeatable_and_draws_nothing", "generator of torch was used"),
    (R, "column", "test_no_responses_have_no_scores", r"shape \(0, 1\)"),
    (S, "listing", "test_it_gives_a_finite_score_per_response", "is not a tensor"),
    (
        S,
        "summing",
        "test_it_gives_a_finite_score_per_response",
        r"shape \(\), not one number per response",
    ),
    (S, "summing", "test_no_responses_have_no_scores", r"shape \(\)"),
    (S, "dividing", "test_it_gives_a_finite_score_per_response", "not finite"),
    (S, "overwriting", "test_it_gives_a_finite_score_per_response", "changed in place"),
    (S, "ranking", "test_the_order_of_rows_does_not_matter", "the order of rows matters"),
    (S, "remembering", "test_it_keeps_nothing_and_draws_nothing", "a shaping has no state"),
    (S, "gambling", "test_it_keeps_nothing_and_draws_nothing", "built for a run of another seed"),
    (
        ENGINE,
        "sharp",
        "test_tokens_are_drawn_from_the_policys_own_density",
        "not drawn from softmax",
    ),
    (ENGINE, "seeded_once", "test_the_seed_alone_decides", "another seed gives the same responses"),
    (ENGINE, "row_blind", "test_a_row_depends_on_no_other", "another one when it is sampled alone"),
    (ENGINE, "unsettling", "test_the_policy_stays_as_it_is", "left in another mode"),
    (ENGINE, "mistaken", "test_rows_are_whole", "terminated does not say"),
    (F, "leaky", "test_kept_and_dropped_rows_add_up", "a row was lost"),
    (
        F,
        "reversing",
        "test_what_is_kept_is_what_was_given_in_its_order",
        "it changed some, or their order",
    ),
    (F, "drifting", "test_the_records_alone_decide", "differently in a run of another seed"),
    (F, "consuming", "test_the_records_alone_decide", "changed in place"),
    (
        G,
        "silent",
        "test_it_adds_a_finite_gradient_and_moves_no_weight",
        "no parameter has a gradient",
    ),
    (G, "pushy", "test_it_adds_a_finite_gradient_and_moves_no_weight", "weights were changed"),
    (G, "deafening", "test_the_coefficient_scales_it", "not three times the gradient"),
    (G, "amnesiac", "test_resumed_it_gives_the_same_gradients", "next gradient differs"),
    (G, "piecewise", "test_micro_batches_change_no_gradient", "divide sums by one count"),
    (
        D,
        "miscounting",
        "test_it_counts_what_it_gives",
        "counts {'prompts': 5}, records.. gives {'prompts': 4}",
    ),
    (D, "double_ids", "test_ids_are_unique", "two prompts have the same id"),
    (
        D,
        "restless",
        "test_the_records_are_always_the_same_in_the_same_order",
        "data have a seed of their own",
    ),
    (
        D,
        "illiterate",
        "test_a_closed_vocabulary_holds_every_word",
        r"\['0'\] not in the vocabulary",
    ),
    (
        D,
        "selfish",
        "test_records_are_of_their_type_and_well_formed",
        "prefers a response to itself",
    ),
    (
        D,
        "confused",
        "test_records_are_of_their_type_and_well_formed",
        "documents, record 0 is a Prompt",
    ),
    (L, "hasty", "test_it_ranks_what_it_was_shown", "the ranking is of another prompt"),
    (L, "torn", "test_it_ranks_what_it_was_shown", "prefers both of"),
    (L, "moody", "test_the_seed_alone_decides", "generator of python was used"),
    (L, "biased", "test_preferences_are_shares_of_people", "0.75 and 0.75 do not add up to 1"),
    (E, "fickle", "test_a_second_call_gives_the_same", "generator of python was used"),
    (E, "beside", "test_it_measures_numbers_with_intervals", "outside its interval"),
    (E, "short", "test_it_measures_numbers_with_intervals", "1 for 6 prompts"),
    (
        E,
        "scaled",
        "test_it_measures_numbers_with_intervals",
        "cases of x have the mean 0.375, not 0.5",
    ),
    (E, "nosy", DECLARED, "uses documents without declaring so"),
    (P, "maskless", "test_padding_changes_nothing", "left padding changes logits"),
    (P, "siamese", "test_a_copy_is_independent", "a copy shares weights"),
    (P, "frozen", "test_weights_come_from_the_generator_alone", "the generator is not used"),
]
CONFIGS = [
    ("algorithm", "silent_config", "test_every_field_is_documented", "no documentation: size"),
    ("algorithm", "silent_config", "test_needs_are_words_that_the_engine_knows", r"\['promts'\]"),
    ("select", "shy_config", "test_defaults_are_valid", "size is 0 but must be >= 1"),
    ("select", "split_config", "test_a_value_out_of_range_is_refused", "size=0 is accepted"),
    *(
        ("select", "misplaced", "test_functions_given_by_place_take_the_config", message)
        for message in (
            r"'preflab.records:Prompts', which cannot be imported: .* has no 'Prompts'",
            r"'preflab.records:with_split', which takes \(record.*annotate the config as misplaced",
            r"inspect of .*'preflab.randomness:derive_seed', which takes \(.*annotate the config",
        )
    ),
]


@pytest.fixture(autouse=True, scope="module")
def _faulty() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        files = [
            str(Path(__file__).with_name(name)) for name in ("faulty.py", "faulty_observer.py")
        ]
        patch.setenv(discovery.FILES, os.pathsep.join(files))
        search_path.registry.cache_clear()
        yield
    search_path.registry.cache_clear()


def _fails(contract: Any, test: str, folder: Path, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(contract(), test)(Case(contract, folder))


@pytest.mark.parametrize(
    "contract,name,test,message",
    FAULTS,
    ids=lambda v: v if isinstance(v, str) and " " not in v else "",
)
def test_a_fault_is_caught(
    contract: type[Any], name: str, test: str, message: str, tmp_path: Path
) -> None:
    _fails(type("Tried", (contract,), {"name": name}), test, tmp_path, message)


@pytest.mark.parametrize("kind,name,test,message", CONFIGS)
def test_a_fault_of_a_config_is_caught(
    kind: str, name: str, test: str, message: str, tmp_path: Path
) -> None:
    # A choice cannot be made of a config whose defaults are refused: these tests look at the
    # class alone.
    _fails(
        type("Tried", (ComponentContract,), {"kind": kind, "name": name}), test, tmp_path, message
    )


@pytest.mark.parametrize(
    "fault,test,error,message",
    [
        (
            "fragile",
            "test_it_survives_any_run",
            UserWarning,
            "preflab_step_finished raised StopIteration",
        ),
        (
            "meddling",
            "test_it_changes_nothing_and_draws_nothing",
            AssertionError,
            "preflab_step_finished changed what it was shown",
        ),
        (
            "gambling",
            "test_it_changes_nothing_and_draws_nothing",
            AssertionError,
            "generator of python was used",
        ),
        (
            "messy",
            "test_it_writes_into_the_run_folder_only",
            AssertionError,
            "wrote ..notes.txt.. into the folder",
        ),
    ],
)
def test_a_fault_of_an_observer_is_caught(
    fault: str,
    test: str,
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        search_path.registry().manager.get_plugin("faulty_observer"), "FAULT", fault
    )
    contract: Any = type("Tried", (ObserverContract,), {"name": "faulty_observer"})
    with pytest.raises(error, match=message):
        getattr(contract(), test)(Case(contract, tmp_path / "case"), monkeypatch)


def test_a_plugin_without_observer_hooks_is_refused(tmp_path: Path) -> None:
    contract: Any = type("Tried", (ObserverContract,), {"name": "faulty"})
    with pytest.raises(
        AssertionError, match="has none of the hooks preflab_observers, preflab_run"
    ):
        contract().test_it_observes(Case(contract, tmp_path))


def test_a_component_that_the_composition_does_not_choose_is_named(tmp_path: Path) -> None:
    contract: Any = type(
        "Tried", (AlgorithmContract,), {"name": "ppo", "overrides": ("algorithm=best_of_n",)}
    )
    with pytest.raises(Exception, match="chooses no algorithm 'ppo': name it in 'overrides'"):
        _ = Case(contract, tmp_path).choice
