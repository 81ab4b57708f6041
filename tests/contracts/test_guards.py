"""The built-in guards keep the contract of components of any kind."""

from __future__ import annotations

from pathlib import Path

from preflab.testing import ComponentContract
from tiny_classifier import write_classifier


class GuardContract(ComponentContract):
    kind = "guard"


class TestWords(GuardContract):
    name = "words"
    required = ("words",)
    overrides = ("algorithm=guarded", "+guard@algorithm.guard=words", "algorithm.guard.words=[a]")


class TestChain(GuardContract):
    name = "chain"
    required = ("guards",)
    overrides = (
        "algorithm=guarded",
        "+guard@algorithm.guard=chain",
        "+guard@algorithm.guard.guards.first=words",
        "algorithm.guard.guards.first.words=[a]",
    )


class TestClassifier(GuardContract):
    name = "classifier"
    required = ("path",)
    overrides = (
        "algorithm=guarded",
        "+guard@algorithm.guard=classifier",
        "algorithm.guard.label=toxic",
    )

    @classmethod
    def files(cls, folder: Path) -> tuple[str, ...]:
        return (f"algorithm.guard.path={write_classifier(folder)}",)


class TestFirstToken(GuardContract):
    name = "first_token"
    required = ("path",)
    overrides = ("algorithm=guarded", "+guard@algorithm.guard=first_token")

    @classmethod
    def files(cls, folder: Path) -> tuple[str, ...]:
        return (f"algorithm.guard.path={folder}",)
