"""What people wrote in a round, as demonstrations."""

from __future__ import annotations

from collections.abc import Iterable

from preflab.components import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.records import Record, RecordType
from preflab_people.config import WrittenConfig
from preflab_people.rounds import frozen_of, required_kind
from preflab_people.training import demonstrations
from preflab_people.waiting import made_by, waiting


def inspect(config: WrittenConfig) -> Inspection:
    """The digest of the frozen round and how many demonstrations are in it; or what its people have
    yet to do."""
    frozen = frozen_of(config.round)
    if frozen is None:
        sentence = waiting(config.round, "demonstrate")
        return Inspection(records={"demonstrations": 0}, waiting=sentence)
    required_kind(frozen, config.round, ("demonstrate", "rank"), "demonstrations=people")
    number = int(frozen.manifest["demonstrations"])
    if not number:
        raise UserError(
            f"demonstrations=people: nobody wrote anything in the round {config.round!r}, whose "
            f"people were asked to {frozen.kind}. Choose another round "
            "(demonstrations.round=NAME), or let people write: preflab label RUN --task "
            "demonstrate --name NAME."
        )
    who = [one.labeler for one in demonstrations(frozen.judged)]
    said = f"demonstrations=people: {made_by(frozen, who, 'demonstration')}"
    return Inspection(frozen.digest, {"demonstrations": number}, notices=(said,))


class Written:
    """`preflab.interfaces.DataSource`: demonstrations in canonical order, with the splits of their
    prompts."""

    def __init__(self, config: WrittenConfig, context: Context) -> None:
        frozen = frozen_of(config.round)
        if frozen is None:  # the engine asks `inspect` first
            raise UserError(f"The round {config.round!r} is not closed yet.")
        self.round = frozen

    def records(self, record_type: RecordType) -> Iterable[Record]:
        """What people wrote who are neither held out nor removed, under their pseudonyms."""
        return demonstrations(self.round.judged) if record_type == "demonstrations" else ()
