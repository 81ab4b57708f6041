"""What is refused of Hydra's own settings, also by `preflab plan`."""

from __future__ import annotations

import pytest

from preflab import UserError
from preflab.composing.compose import compose
from preflab.composing.hydra_settings import refuse_settings

REFUSED = {
    "hydra.job.chdir=true": (False, "hydra.run.dir=FOLDER says where results go"),
    "hydra.output_subdir=null": (False, "the report reads a run's config there"),
    "hydra.run.dir=x": (True, "hydra.sweep.dir and hydra.sweep.subdir"),
    "hydra.sweep.dir=x": (False, "go where hydra.run.dir says"),
    "hydra.sweep.subdir=x": (False, "go where hydra.run.dir says"),
}


@pytest.mark.parametrize("word", REFUSED)
def test_a_setting_that_would_lose_results_is_refused(word: str) -> None:
    multirun, message = REFUSED[word]
    with pytest.raises(UserError, match=message):
        refuse_settings(compose([word], with_hydra=True), multirun)


def test_the_others_are_taken() -> None:
    words = ["hydra.run.dir=x", "hydra.output_subdir=y", "hydra.job.chdir=false"]
    refuse_settings(compose(words, with_hydra=True), multirun=False)
