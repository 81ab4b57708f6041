"""The sentence that names what is allowed and the nearest word."""

from __future__ import annotations

from preflab.errors import nearest


def test_the_nearest_word_is_named_where_there_is_one() -> None:
    assert nearest("pp", ["sft", "ppo", "ppo"]) == "Allowed: ppo, sft. Did you mean 'ppo'?"
    assert nearest("xyz", ["ppo"]) == "Allowed: ppo."
    many = [f"measure/{i}" for i in range(9)]
    assert nearest("measur/3", many).startswith("Did you mean 'measure/3'? Allowed: measure/0,")
    assert nearest("measur/3", many[:8]).endswith("measure/7. Did you mean 'measure/3'?")
    assert nearest("x", []) == "Allowed: nothing."
