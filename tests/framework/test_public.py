"""What plugins may rely on: names and signatures.

After the first release, a change here breaks other people's code and raises hookspecs.API_VERSION.
Nothing has been released yet, so that API 1 may still grow.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import preflab
from framework import test_hookspecs
from preflab import evaluating, hookspecs, interfaces, models, rows, sampling, sources, testing

HOOKS = {n: inspect.signature(f) for n, f in vars(hookspecs).items() if n.startswith("preflab_")}
API_1 = {
    "preflab_components": "",
    "preflab_stages": "",
    "preflab_config_packages": "",
    "preflab_commands": "",
    "preflab_observers": "folder config stages",
    "preflab_run_started": "folder config stages",
    "preflab_stage_started": "stage total_steps history",
    "preflab_stage_reused": "stage artifact history",
    "preflab_step_finished": "stage step metrics",
    "preflab_rollout_finished": "stage step rollout values",
    "preflab_checkpoint_saved": "stage step folder",
    "preflab_stage_finished": "stage artifact seconds",
    "preflab_run_finished": "folder summary",
    "preflab_run_failed": "folder error",
    "preflab_report": "folders out",
    "preflab_verdicts": "folders",
    "preflab_seeds_needed": "folders",
}
NAMES_1 = {
    "Component": "kind name config_class build procedure needs nested inspect preflight checkpoint",
    "Inspection": None,
    "NumericError": None,
    "PluginError": None,
    "PreflabError": None,
    "StorageError": None,
    "SweepError": None,
    "UserError": None,
    "Waiting": None,
    "compose": "overrides config_name",
    "hookimpl": None,
    "load": "run device",
    "run": "overrides",
    "study": "name overrides",
    "option": "default doc factory ge gt le lt fast affects_result in_use",
    "reward": None,
}


TESTING_1 = (
    "WORDS AlgorithmContract Case ComponentContract DataSourceContract EvaluatorContract "
    "FakeContext FastRun FilterContract GradientTermContract LabelerContract ObserverContract "
    "PolicyContract ProcedureContract ResponderContract RewardModelContract "
    "RewardShapingContract RolloutEngineContract SamplerContract TinyGold TinyLabeler TinyReward "
    "TrackerContract TransformContract component cpu_runtime tiny_pool tiny_records"
)
INTERFACES_1 = {
    "Procedure": "total_steps step(index) state_dict() load_state_dict(state) save(folder)",
    "Accountable": "accounting(history)",
    "ShowsBatch": "batch(index)",
    "HasNetwork": "network",
    "HasNetworks": "networks",
    "TrainsOn": "begins_from",
    "Tokenizer": "pad_id eos_id end_ids size digest encode(text) encode_document(text) "
    "encode_prompt(prompt) encode_response(prompt,response) encode_turns(prompt,response) "
    "decode(ids) decode_response(prompt,ids) save(folder)",
    "Cache": "select(rows)",
    "Backbone": "module tokenizer max_positions hidden(ids,mask) "
    "hidden_at(ids,mask,wanted,prompt_width) save(folder)",
    "Policy": "logits(hidden) log_probs(hidden,ids,temperature,with_entropy) prefill(ids,mask) "
    "extend(tokens,cache) version weights() copy() scalar_model(generator)",
    "ScalarModel": "offset values(hidden) copy()",
    "PolicySource": "tokenizer max_positions create(generator) load(folder) load_scalar(folder)",
    "RewardModel": "score(rollout)",
    "Sampling": "max_tokens temperature samples first_row compared log_probs",
    "RolloutEngine": "sampling generate(policy,prompts,sampling,seed)",
    "AskedRow": "prompt max_tokens seed number",
    "RowStream": "drop(rows) step()",
    "StreamsRows": "stream_rows(policy,rows,temperature)",
    "Foreign": "weights",
    "GivesLogProbs": "gives_log_probs",
    "Refreshes": "is_stale(version) refresh(policy)",
    "StreamsTokens": "stream(policy,prompt,sampling,seed)",
    "Responder": "policy respond(prompts,seed)",
    "BestOf": "n",
    "Steers": "steered_by",
    "AtTemperature": "temperature",
    "AnyTemperature": "at_temperature(temperature)",
    "AnyPrefix": "with_prefix(prefix)",
    "AnyLength": "up_to(max_tokens)",
    "AnswersGroups": "groups groups_for(prompts,seed) respond_for(groups,prompts,seed) as_typed()",
    "ReadsForms": "forms(prompt)",
    "DataSource": "records(record_type)",
    "LeavesOut": "left_out(record_type)",
    "World": "vocabulary gold",
    "Gold": "parts(prompt,response)",
    "Filter": "__call__(records)",
    "Transform": "__call__(records)",
    "Labeler": "rank(prompt,responses,seed) preference(prompt,first,second,group)",
    "RewardShaping": "__call__(scores,rollout)",
    "Adaptable": "adapted(generator) without_adapters()",
    "ChecksScalar": "check_scalar()",
    "Compiles": "check_compile()",
    "HasHeads": "heads_model(generator,names)",
    "HeadsModel": "names offsets shares spreads weights values(hidden) weighted(weights)",
    "LoadsHeads": "load_heads(folder)",
    "SeesBatch": "see(rollout,temperature)",
    "OfMembers": "members(rollout) together(members)",
    "GradientTerm": "accumulate(policy,step,episodes) state_dict() load_state_dict(state)",
    "Subject": "responder rollout baseline reference prefix",
    "Measure": "value low high n least most",
    "Opinion": "prompt person value unit",
    "Evaluation": "measures values cases against notes opinions examples under(head) beside(other)",
    "Evaluator": "evaluate(subject)",
    "Context": "stage folder runtime streams seed records(record_type,split) has(record_type) "
    "rankings(split) artifact(stage) vocabulary gold tokenizer max_positions in_front(role) "
    "members() policy(role) sampled_policy(of) checkpoints(role) responder(role) reward_model() "
    "reward_network() load_policy(folder) load_scalar(folder) load_heads(folder) rollout() "
    "labeler() component(kind,config) key_of(config) within(name,seed) procedure(kind,config) "
    "rollout_finished(step,rollout,values)",
}


ROWS_1 = {
    "Row": "place values problem",
    "BadRow": "field reason",
    "Spool": "",
    "read_rows": "path",
    "read_table": "path read",
    "ending_of": "path",
    "parse_json": "data ends_file",
    "read_once": "read",
    "path_digest": "path",
    "files_of": "path",
    "shown": "text limit",
    "type_name": "value",
}
FIELDS_1 = {
    "text": "row field blank",
    "checked_text": "value field blank",
    "text_digest": "text",
    "identifier": "row field",
    "configured_identifier": "row column usual",
    "tags": "row",
    "split": "row column",
    "one_of": "value field allowed",
    "items": "row field",
    "texts": "row field",
    "number": "value field",
    "numbers": "row field count what",
}


def _members(interface: type) -> str:
    """Fields, properties, and methods with their arguments, as INTERFACES_1 writes them; what is
    inherited is left out."""
    found = list(inspect.get_annotations(interface))
    for name, value in vars(interface).items():
        if isinstance(value, property):
            found.append(name)
        elif inspect.isfunction(value) and (name == "__call__" or not name.startswith("_")):
            _, *arguments = inspect.signature(value).parameters
            found.append(f"{name}({','.join(arguments)})")
    return " ".join(found)


def test_hooks_of_api_1() -> None:
    assert hookspecs.API_VERSION == 1
    assert {name: " ".join(signature.parameters) for name, signature in HOOKS.items()} == API_1


def test_public_names_of_api_1() -> None:
    assert sorted(preflab.__all__) == sorted(NAMES_1)
    for name, parameters in NAMES_1.items():
        if parameters is not None:
            assert " ".join(inspect.signature(getattr(preflab, name)).parameters) == parameters, (
                name
            )


def test_names_for_tests_of_api_1() -> None:
    assert sorted(testing.__all__) == sorted(TESTING_1.split())


def test_reading_of_rows_of_api_1() -> None:
    assert sorted(rows.__all__) == sorted([*ROWS_1, "READERS", "fields"])
    for module, names in ((rows, ROWS_1), (rows.fields, FIELDS_1)):
        for name, parameters in names.items():
            signature = inspect.signature(getattr(module, name))
            assert " ".join(signature.parameters) == parameters, name


DECLARING = (interfaces, evaluating, models, sampling, sources)
"""Modules whose protocols authors import from `preflab.interfaces`."""


def test_interfaces_of_api_1() -> None:
    classes = [
        c
        for c in vars(interfaces).values()
        if inspect.isclass(c) and c.__module__ in {module.__name__ for module in DECLARING}
    ] + [interfaces.Tokenizer]
    found = {interface.__name__: sorted(_members(interface).split()) for interface in classes}
    assert found == {name: sorted(members.split()) for name, members in INTERFACES_1.items()}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments_and_tested(hook: str) -> None:
    page = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf8")
    signature = str(HOOKS[hook]).replace("'", "")
    assert f"- `{hook}{signature}`" in page
    assert inspect.isfunction(getattr(test_hookspecs, f"test_hook_{hook}", None))
