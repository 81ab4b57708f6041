"""Tags that an evaluator asks for and that no prompt has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from preflab.errors import UserError, nearest
from preflab.records import Prompt


def missing(
    place: str,
    wanted: Sequence[str],
    prompts: Sequence[Prompt],
    measure: str,
    usual: Collection[str] = (),
) -> Iterator[str]:
    """A sentence for each wanted tag that no prompt has. `UserError` if no prompt has any of them,
    so that nothing would be measured; a sentence instead, if all are usual ones, which nobody
    spelled. place: of the option; measure: what is not measured then."""
    tags = sorted({tag for prompt in prompts for tag in prompt.tags})
    lost = [tag for tag in wanted if tag not in tags]
    if not lost:
        return
    named = [tag for tag in lost if tag not in usual]
    if len(lost) == len(wanted):
        hint = nearest((named or lost)[0], tags) if tags else "They have no tags."
        said = f"{place}: none of {len(prompts)} prompts has the tag {' or '.join(lost)}"
        if named:
            raise UserError(f"{said}, so that {measure} cannot be measured. {hint}")
        yield f"{said}: {measure} is not measured. {hint}"
        return
    for tag in named:
        yield f"{place}: no prompt has the tag {tag}. {nearest(tag, tags)}"
