"""Documents in parts: whole again on the other side, whatever their size; nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.errors import RemoteProtocolError
from casty.wire import document
from casty.wire.document import Assembly, parts_of
from casty.wire.pack import pack


@given(st.binary(max_size=2000), st.integers(200, 1000))
def test_what_was_cut_is_put_together(whole: bytes, max_frame_bytes: int) -> None:
    assembly = Assembly()
    parts = list(parts_of(whole, max_frame_bytes))
    assert max(len(part) for part in parts) < max_frame_bytes
    assert [assembly.take(part) for part in parts] == [None] * (len(parts) - 1) + [whole]


def test_another_document_takes_the_place_of_an_unfinished_one() -> None:
    assembly = Assembly()
    first, second = (list(parts_of(byte * 300, 400)) for byte in (b"a", b"b"))
    assert assembly.take(first[0]) is None
    assert [assembly.take(part) for part in second][-1] == b"b" * 300


@pytest.mark.parametrize(
    "plain", [[], [0, 1], [0, 0, b""], [1, 2, b""], [-1, 2, b""], [2, 2, b""], [0, 1, "x"], 5]
)
def test_nonsense_is_refused(plain: object) -> None:
    with pytest.raises(RemoteProtocolError, match="document: expected"):
        Assembly().take(pack(plain))


def test_a_document_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_DOCUMENT_BYTES", 10)
    assembly = Assembly()
    assert assembly.take(pack([0, 3, b"x" * 10])) is None
    with pytest.raises(RemoteProtocolError, match="at most 10 bytes"):
        assembly.take(pack([1, 3, b"x"]))
