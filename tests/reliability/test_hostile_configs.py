"""Overrides and configs that try to run code, leave their folder, read secrets or crash the
composition: each is one error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from preflab import UserError
from preflab.composing.compose import parse
from preflab.console.cli import main
from preflab.planning.reading import check_jobs

SECRET = "canary-51c9e2"
TARGET = "builtins.print"
EXPLOITS = {
    "target at the top": f"+_target_={TARGET}",
    "target in a component": f"+policy._target_={TARGET}",
    "target in a nested config": f"+algorithm.kl._target_={TARGET}",
    "target in a filter": f"+data.filters.x._target_={TARGET}",
    "target in a gradient term": "algorithm.terms.ptx={_target_: os.system}",
    "target in a list": "+evaluation.more=[{_target_: os.system}]",
    "target in a list in a list": "+evaluation.more=[[{_target_: os.system}]]",
    "target in a callback": f"+hydra.callbacks.x._target_={TARGET}",
    "target with a writer": "+policy._target_=pathlib.Path.write_text",
    "target that is partial": "+policy={_partial_: true, _target_: os.system}",
    "factory in job logging": "+hydra.job_logging.handlers.x={'()': os.system}",
    "factory in Hydra's logging": "+hydra.hydra_logging.handlers.x={'()': os.system}",
    "class in job logging": "+hydra.job_logging.handlers.x={class: subprocess.Popen}",
    "parent folder as option": "algorithm=../../../etc/passwd",
    "absolute path as option": "algorithm=/etc/passwd",
    "dots as option": "policy=..",
    "parent folder as experiment": "experiment=../experiment/x",
    "secret in a whole number": "seed=${oc.env:PREFLAB_CANARY}",
    "secret in a nested value": "policy.layers=${oc.env:PREFLAB_CANARY}",
    "secret in a text": "+sft.note=${oc.env:PREFLAB_CANARY}",
    "secret with a default": "seed=${oc.env:PREFLAB_CANARY,1}",
    "secret behind a decoder": "seed=${oc.decode:${oc.env:PREFLAB_CANARY}}",
    "secret inside a text": "+sft.note='a ${oc.env:PREFLAB_CANARY} b'",
    "resolver that nobody knows": "seed=${eval:1}",
    "reference to itself": "seed=${seed}",
    "reference in a circle": "policy.layers=${policy.layers}",
    "reference that leads nowhere": "seed=${nothing.there}",
    "infinite coefficient": "algorithm.kl.coef=inf",
    "negative infinite coefficient": "algorithm.kl.coef=-inf",
    "coefficient of nan": "algorithm.kl.coef=nan",
    "infinite seed": "seed=1e999",
    "seed of 5,000 digits": "seed=" + "9" * 5000,
    "3,000 open brackets": "seed=" + "[" * 3000,
    "200 nested lists": "policy.layers=" + "[" * 200 + "]" * 200,
    "NUL in a key": "\0=1",
    "NUL in a value": "seed=\x001",
    "no key": "=",
    "a sign alone": "++",
    "a deletion of nothing": "~",
    "two equal signs": "seed==1",
    "markup as option": "policy='<script>alert(1)</script>'",
    "terminal escape as option": "policy='\x1b[31mred'",
    "right-to-left override as option": "policy='\u202egnp'",
}


def _refused(override: str) -> str:
    with pytest.raises(UserError) as refused:
        check_jobs(parse([override]))
    return str(refused.value)


def test_there_are_enough_of_them() -> None:
    assert len(EXPLOITS) >= 40  # what the suite promises


@pytest.mark.parametrize("name", EXPLOITS)
def test_an_exploit_is_one_error_without_a_secret(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFLAB_CANARY", SECRET)
    message = _refused(EXPLOITS[name])
    assert message.strip()
    assert SECRET not in message


def test_a_hostile_override_ends_with_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFLAB_CANARY", SECRET)
    with pytest.raises(SystemExit) as ended:
        main(["policy.layers=${oc.env:PREFLAB_CANARY}"])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert "policy.layers" in said.err
    assert "Traceback" not in said.err + said.out
    assert SECRET not in said.err + said.out
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing"


VALID = [
    "seed=3",
    "algorithm=ppo",
    "algorithm.kl.coef=0.02",
    "policy.layers=2",
    "algorithm.episodes=64",
]


@pytest.mark.parametrize("seed", range(12))
def test_damaged_overrides_are_accepted_or_one_error(seed: int) -> None:
    """Five damaged overrides per seed: characters inserted, doubled or removed."""
    draw = random.Random(seed)
    for override in VALID:
        text = list(override)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(text) or 1)
            text[at : at + draw.randint(0, 2)] = draw.choice(
                ["", "{", "}", "[", "$", "${", "'", "=", "\0", "\\", "~", "\u2028", "é", ","]
            )
        message, jobs, found = "", 0, 0
        try:
            line = parse(["".join(text)])
            jobs, found = len(line.jobs), len(check_jobs(line))
        except UserError as error:
            message = str(error).strip()
        assert message or (found == jobs and found)
