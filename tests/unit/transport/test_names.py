"""Names and addresses as the system knows them."""

from __future__ import annotations

import socket

import pytest

from casty.address import is_loopback
from casty.transport.names import addresses_of, outward_address


async def test_a_name_has_all_its_addresses() -> None:
    found = await addresses_of("localhost")
    assert found == sorted(dict.fromkeys(found))
    assert any(map(is_loopback, found))
    assert await addresses_of("127.0.0.3") == ["127.0.0.3"]


async def test_who_is_reached_on_this_machine_sees_its_loopback() -> None:
    assert await outward_address("127.0.0.1") == "127.0.0.1"


async def test_a_name_that_nobody_has_is_an_error() -> None:
    for question in (addresses_of, outward_address):
        with pytest.raises(socket.gaierror):
            await question("no-such-name.invalid")
