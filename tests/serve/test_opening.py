"""The file that describes the guard of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.records import Prompt
from preflab_serve.opening import open_guard


def test_a_guard_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text("guard: {name: words, words: [idiot]}\nrefusal: No.\n")
    checking = open_guard(file, 5)
    assert (checking.refusal, checking.resamples, checking.seconds) == ("No.", 3, 5)
    (verdict,) = checking.guard.check([Prompt("", "idiot")], None)
    assert not verdict.allowed
    fine = "guard: {name: words, words: [idiot]}\n"
    file.write_text("guard: {name: chain, guards: {a: {name: words, words: [idiot]}}}\n")
    assert not open_guard(file, 5).guard.check([Prompt("", "idiot")], None)[0].allowed
    for text, message in (
        ("guard: {name: wordz}\n", "Did you mean 'words'"),
        ("guard: {name: words, word: [a]}\n", "word"),
        ("guard: ${oc.env:HOME}\n", "without references"),
        ("[]\n", "must hold options"),
        ("refusal: No.\n", "has no guard: write guard: {name: words"),
        ("guard: words\n", "guard is a name alone: write guard: {name: words}"),
        (f"{fine}seconds: 1\n", "seconds is an option of a run.* --guard-seconds 1"),
        (f"name: ppo\n{fine}", "name is not an option: the guard's own name"),
        (f"{fine}resample: 2\n", "resample is not an option.* Did you mean 'resamples'"),
        (f"{fine}on: 2\n", "^{file}: on, yes or true, without quotes, is not an option"),
        (f"{fine}resamples: 2\n", "resamples is 2, but no guard here samples again: write action"),
        (
            "guard: {name: words, words: [a], action: resample, checks: prompt}\nresamples: 2\n",
            "resamples is 2, but no guard here samples again",
        ),
        (f"{fine}refusal: no\n", "^{file}: refusal holds false, no text: without quotes"),
        ("guard: {name: words, words: [a], category: 1.50}\n", "guard.category holds 1.5, no text"),
        (
            "guard: {name: chain, guards: {a: {name: words, words: [b], category: yes}}}\n",
            "guard.guards.a.category holds true, no text",
        ),
        (f"{fine}resamples: -1\n", "resamples is -1 but must be >= 0"),
        ("guard: {name: words, words: [a], on: response}\n", "guard: on, yes or true, without"),
        ("guard: {name: words, words: [yes, 1.50]}\n", "guard.words holds true, 1.5, no text"),
        ("guard: {name: words, words: [a], checks: x}\n", "^{file}: guard.checks is 'x'"),
        (
            "guard: {name: chain, guards: {a: {name: words, words: [off]}}}\n",
            "guard.guards.a.words holds false, no text",
        ),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=message.replace("{file}", str(file))):
            open_guard(file, 5)
    again = "{name: chain, guards: {a: {name: words, words: [a], action: resample}}}"
    for text, resamples in (
        (f"guard: {again}\nresamples: 2\nname: guarded\n", 2),
        (f"{fine}resamples: 0\n", 0),
    ):
        file.write_text(text)
        assert open_guard(file, 5).resamples == resamples
