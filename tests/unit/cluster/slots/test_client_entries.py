"""What entries a client may send: the kind that is found without unpacking is the kind that is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.slots import schema
from casty.cluster.slots.schema import (
    APPENDED,
    CLOSE,
    COMMAND,
    EXPIRE,
    LAPSE,
    OPEN,
    applicable,
    may_be_of_client,
)
from casty.distributed.machines.base import COUNTER, EVENTS, RECORD
from casty.distributed.machines.events import OPEN as OPEN_LOG
from casty.errors import RemoteProtocolError
from casty.limits import MAX_NUMBER
from casty.wire.pack import pack

NUMBERS = st.integers(0, MAX_NUMBER) | st.sampled_from(
    [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32]
)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.integers(COUNTER, RECORD), st.binary(max_size=40))
def test_a_command_is_a_clients_by_its_kind(numbers: tuple[int, ...], kind: int, name: bytes) -> None:
    entry = pack([COMMAND, *numbers, kind, name, [OPEN_LOG, b"writer"]])
    assert may_be_of_client(entry) == (kind not in (EVENTS, RECORD))
    if kind == EVENTS:
        assert applicable(entry)[5] == EVENTS, "it would be taken of a node"


@pytest.mark.parametrize("entry", [[OPEN, b"attempt", b"gateway"], [CLOSE, 5], [99], [COMMAND]])
def test_other_entries_are_judged_elsewhere(entry: list[object]) -> None:
    assert may_be_of_client(pack(entry))


@pytest.mark.parametrize("entry", [[EXPIRE, 5], [LAPSE, 5, []], [APPENDED, b"log", b"writer", 0, [b"event"]]])
def test_what_only_a_leader_proposes_is_taken_of_no_gateway(entry: list[object]) -> None:
    assert applicable(pack(entry)) == entry
    with pytest.raises(RemoteProtocolError, match="only a leader"):
        schema.check_entry(pack(entry))


@given(st.binary(max_size=30))
def test_no_bytes_raise(data: bytes) -> None:
    may_be_of_client(bytes((0x98, COMMAND)) + data)
    may_be_of_client(data)


@given(st.sampled_from([b"\xcc\x0b", b"\xcd\x00\x0b", b"\xd0\x0b", b"\xcf\x00\x00\x00\x00\x00\x00\x00\x0b"]))
def test_a_kind_in_another_form_is_no_clients(kind: bytes) -> None:
    body = b"\x01\x01\x01\x01" + kind + pack(b"name") + pack([OPEN_LOG, b"writer"])
    assert not may_be_of_client(bytes((0x98, COMMAND)) + body)
