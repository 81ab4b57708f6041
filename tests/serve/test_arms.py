"""The models of runs under their names, and what a client hears of one that cannot be loaded."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from preflab.errors import UserError
from preflab_people.server.rules import allowed_hosts
from preflab_serve.arms import Arm, open_arms
from preflab_serve.server.access import Access
from preflab_serve.server.app import create_app
from preflab_serve.service import Service
from preflab_serve.worker import Worker

PROMPT = "user : what is the color of gus ? assistant :"


def test_no_two_models_have_one_name(run: Path) -> None:
    assert [*open_arms([f"a={run}", f"b={run}"])] == [
        *("a", "a:base", "a:result"),
        *("b", "b:base", "b:result"),
    ]
    for words, name, cure in (
        ([f"a={run}", f"a={run}"], "a", "a-2="),
        ([f"{run}", f"{run}"], "bon", "bon-2="),
        ([f"a={run}", f"a:base={run}"], "a:base", "a-base-2="),
        ([f"a:base={run}", f"a={run}"], "a:base", "a-2="),
    ):
        with pytest.raises(UserError, match=f"would answer to the name '{name}'.*{cure}"):
            open_arms(words)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_cannot_be_loaded_names_no_folder_to_clients(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    """Its folder is removed while the server runs; the models that are there answer."""
    import asyncio

    shutil.copytree(run.parents[2], tmp_path / "copy")
    copied = tmp_path / "copy" / run.relative_to(run.parents[2])
    arms: Mapping[str, Arm] = open_arms([f"bon={copied}"])

    async def work() -> tuple[httpx.Response, httpx.Response]:
        service = Service(arms, Worker())
        transport = httpx.ASGITransport(app=create_app(service, Access(allowed_hosts(()))))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"model": "bon", "prompt": PROMPT, "stream": stream}
            before = await client.post("/v1/completions", json=body)
            shutil.rmtree(tmp_path / "copy")
            assert (await client.post("/v1/completions", json=body)).status_code == 200
            other = body | {"model": "bon:base"}
            answered = before, await client.post("/v1/completions", json=other)
        service.worker.close()
        return answered

    with caplog.at_level(logging.ERROR):
        before, after = asyncio.run(work())
    assert before.status_code == 200
    assert after.status_code == 503
    error = after.json()["error"]
    assert error["message"] == "The model 'bon:base' cannot be loaded; the server's log says why."
    assert str(tmp_path) not in after.text
    assert str(tmp_path) in caplog.text
