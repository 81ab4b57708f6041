"""``preflab serve`` and ``preflab monitor``: see `serving` and `monitoring` here. Nothing imports
starlette or torch before a command runs."""

from __future__ import annotations


def serve(words: list[str]) -> int:
    """serve RUN [RUN ...] [--host HOST] [--port N] [--keys FILE] ...: the models of finished runs
    behind OpenAI's API; --help has all options"""
    from preflab_serve.commands.serving import serve as started

    return started(words)


def monitor(words: list[str]) -> int:
    """monitor FOLDER [--days N] [--keys FILE] [--json]: a log of use in numbers: what a guard had
    something against, by category and by key; keys above the rest; sudden volume"""
    from preflab_serve.commands.monitoring import monitor as looked

    return looked(words)
