"""The pretraining stream: full windows, every token once per epoch, a function of the number."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from preflab.errors import UserError
from preflab.records import Document
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.pretrain.stream import PretrainingStream

TOKENIZER = byte_tokenizer()
# "aaa", "bbbb", ...: 52 letters, 8 ends.
DOCUMENTS = [Document(str(i), chr(97 + i) * (3 + i)) for i in range(8)]


def stream(window: int = 6, *name: int | str) -> PretrainingStream:
    return PretrainingStream(DOCUMENTS, TOKENIZER, window, *(name or (1, "test")))


def test_an_epoch_holds_every_token_once() -> None:
    # 60 tokens are 10 windows of 6, nothing left over.
    windows = stream().draw(0, 10)
    expected = Counter(t for d in DOCUMENTS for t in [*TOKENIZER.encode(d.text), TOKENIZER.eos_id])
    assert windows.shape == (10, 6)
    assert Counter(windows.flatten().tolist()) == expected


def test_documents_follow_each_other_with_an_end_between() -> None:
    one = PretrainingStream(DOCUMENTS, TOKENIZER, 60, 1, "test").draw(0, 1)[0].tolist()
    pieces, rest = [], one
    while rest:
        end = rest.index(TOKENIZER.eos_id)
        pieces.append(TOKENIZER.decode(rest[:end]))
        rest = rest[end + 1 :]
    assert sorted(pieces) == sorted(d.text for d in DOCUMENTS)


def test_what_does_not_fill_a_window_is_less_than_one() -> None:
    # 60 = 8 * 7 + 4: eight windows an epoch, 4 tokens left out, at another place in another epoch.
    made = stream(7)
    assert made.windows_per_epoch == 8
    every = Counter(t for d in DOCUMENTS for t in [*TOKENIZER.encode(d.text), TOKENIZER.eos_id])
    for epoch in range(3):
        missing = every - Counter(made.draw(epoch * 8, 8).flatten().tolist())
        assert sum(missing.values()) == 4


def test_a_window_depends_on_name_and_number_alone() -> None:
    whole = stream().draw(0, 35)
    assert torch.equal(torch.cat([stream().draw(i, 1) for i in range(35)]), whole)
    assert torch.equal(stream().pick([30, 2, 17]), whole[[30, 2, 17]])
    assert not torch.equal(stream(6, 2, "test").draw(0, 10), whole[:10])
    assert not torch.equal(whole[:10], whole[10:20])


def test_windows_of_one_long_document_come_in_mixed_order() -> None:
    text = "".join(chr(32 + i) for i in range(90))
    windows = PretrainingStream([Document("long", text)], TOKENIZER, 9, 1).draw(0, 10)
    assert windows[:, 0].tolist() != sorted(windows[:, 0].tolist())


def test_too_little_text_is_refused() -> None:
    with pytest.raises(UserError, match="60 tokens, fewer than one window of 61"):
        stream(61)
