"""Rows as samples: pass and fail, several answers in one cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.console import commands
from preflab.errors import UserError
from stored_rows import results, write


def test_pass_and_fail_are_shares_in_any_spelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 3 of 4 pass, however it is written: Wilson's interval of 3 of 4 is .3006 to .9544
    spellings = ("1,1,1,0", "True,true,TRUE,False", "yes,Yes,y,no", "pass,PASS,passed,fail")
    for spelling in spellings:
        rows = "\n".join(["response,ok", *(f"x,{word}" for word in spelling.split(","))])
        (result,) = results(capsys, write(tmp_path, "o.csv", rows), "--score", "ok")["results"]
        measure = result["measures"]["ok"]
        assert (measure["value"], measure["n"]) == (0.75, 4)
        assert (measure["low"], measure["high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)
        assert (measure["least"], measure["most"]) == (0.0, 1.0)


def test_words_beside_numbers_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "o.csv", "response,ok\nx,yes\ny,0.7\n")
    with pytest.raises(UserError, match=r"o\.csv:2: ok: holds a word.*o\.csv:3 holds a number"):
        commands.run("evaluate-samples", [file, "--score", "ok"])


def test_ten_of_ten_wins_are_not_certain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "o.csv", "response,win\n" + "x,1\n" * 10)
    (result,) = results(capsys, file, "--score", "win")["results"]
    assert result["measures"]["win"]["low"] == pytest.approx(0.7225, abs=1e-4)  # 10 / (10 + z^2)


def test_several_answers_in_one_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "response,gold\nParis,Lutetia; Paris\nRome,Roma;Rome\nBern,Bern\n"
    file = write(tmp_path, "o.csv", rows)
    words = [file, "--reference", "gold", "--metric", "exact_match"]
    plain = results(capsys, *words)
    assert plain["results"][0]["measures"]["exact_match"]["value"] == pytest.approx(1 / 3)
    (hint,) = plain["notes"]
    assert "2 of 3 cells of 'gold' hold ';'" in hint
    assert "add --reference-separator ';'" in hint
    split = results(capsys, *words, "--reference-separator", ";")
    assert split["results"][0]["measures"]["exact_match"]["value"] == 1.0
    assert split["notes"] == []


def test_several_reference_columns_may_be_partly_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "o.csv", "response,a,b\n,Paris,\nRome,Roma,Rome\n")
    words = (file, "--reference", "a", "--reference", "b", "--metric", "exact_match")
    # an empty cell is no right answer: the empty response to "Paris" is wrong
    assert results(capsys, *words)["results"][0]["measures"]["exact_match"]["value"] == 0.5
