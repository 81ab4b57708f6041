"""A judge that has also filtered, guarded or trained is named before any work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from preflab import option
from preflab.components import Component, Inspection
from preflab.door.choice import Choice
from preflab.door.plugin import Plugin
from preflab.engine.judging import judges_itself
from preflab.planning.run import Run


@dataclass
class Config:
    """A component with something outside, or with words."""

    name: str = option("c", "component")
    content: str = option("", "digest")
    words: str = option("", "words")


def choice(key: str, kind: str, content: str = "", words: str = "", *nested: Choice) -> Choice:
    made = Component(kind, "c", Config, inspect=lambda config: Inspection(content=config.content))
    plugin = Plugin("p", "p", "p", "1")
    return Choice(key, made, plugin, Config("c", content, words), nested)


def said(judge: Choice, *others: Choice) -> list[str]:
    chosen = {"evaluation": choice("evaluation", "evaluation", "", "", judge)}
    run = Run(chosen, others, cast(Any, None), cast(Any, None))
    return [sentence.partition(":")[0] for sentence in judges_itself(run)]


def test_the_same_folder_or_the_same_words_are_the_same_judge() -> None:
    judge = choice("evaluation.x.scorer", "reward_model", "abc")
    filtered = choice("filters.score.scorer", "reward_model", "abc", "other words")
    guard = choice("algorithm.guard", "guard", "abc calibrated on a file")
    named = "evaluation.x.scorer judges by the same model or words as"
    assert said(judge, filtered, guard) == [f"{named} filters.score.scorer and algorithm.guard"]
    assert said(judge, replace(filtered, config=Config("c", "abd"))) == []
    words = choice("evaluation.x.scorer", "reward_model", "", "fool")
    assert said(words, choice("filters.score.scorer", "reward_model", "", "fool")) == [
        f"{named} filters.score.scorer"
    ]
    assert said(words, choice("filters.score.scorer", "reward_model", "", "idiot")) == []
    assert said(words, choice("filters.words", "filter", "", "fool")) == []


def test_a_word_of_another_kind_of_component_is_the_same_word() -> None:
    @dataclass
    class Looking(Config):
        def looks_for(self) -> list[str]:
            return self.words.split()

    def looking(key: str, kind: str, words: str) -> Choice:
        return replace(choice(key, kind), config=Looking("c", "", words))

    judge = looking("evaluation.x.scorer", "reward_model", "fool idiot")
    assert said(judge, looking("algorithm.guard", "guard", "Idiot")) == [
        "evaluation.x.scorer judges by the same model or words as algorithm.guard"
    ]
    assert said(judge, looking("algorithm.guard", "guard", "dumb")) == []


def test_two_judges_of_one_evaluation_may_be_the_same() -> None:
    one = choice("evaluation.x.scorer", "reward_model", "abc")
    both = choice("evaluation.y", "evaluator", "", "", one, replace(one, key="evaluation.y.scorer"))
    assert said(both) == []


def test_a_guard_that_an_evaluator_judges_by_is_a_judge_and_one_that_it_tries_is_none() -> None:
    @dataclass
    class Recognising(Config):
        judges = ("recogniser",)

    def said_of(field: str) -> list[str]:
        guard = choice(f"evaluation.x.{field}", "guard", "abc")
        owner = choice("evaluation.x", "evaluator", "", "", guard)
        owner = replace(owner, config=Recognising())
        return said(owner, choice("algorithm.guard", "guard", "abc calibrated on a file"))

    named = "judges by the same model or words as algorithm.guard"
    assert said_of("recogniser") == [f"evaluation.x.recogniser {named}"]
    assert said_of("guard") == []
