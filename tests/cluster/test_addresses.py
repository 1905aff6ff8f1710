"""Where a node listens and what it tells others to dial: both families, and a word when it does not reach itself."""

from __future__ import annotations

import logging
import socket

import pytest

from casty.client import ClusterClient
from casty.errors import ConfigError
from casty.settings import Settings
from casty.system import ClusteredActorSystem

FAST = Settings(slots=2, founding_listen_s=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bound_to_every_interface_it_is_reached_over_both_families(host: str) -> None:
    async with ClusteredActorSystem(name="s", host=host, port=0, bind_host="::", config=FAST) as system:
        contact = (host, system.self_node.port)
        async with ClusterClient(contact_points=[contact], system_name="s") as client:
            assert await client.distributed().counter("c", timeout=10).increment() == 1


@pytest.mark.slow
async def test_an_address_that_is_not_reached_is_said_at_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with ClusteredActorSystem(
        name="s", host="127.0.0.2", port=0, bind_host="127.0.0.1", config=FAST
    ) as system:
        lines = [record.getMessage() for record in caplog.records]
        assert any(f"cannot reach the address that it tells others to dial, 127.0.0.2:{system.self_node.port}" in line
                   for line in lines)  # fmt: skip


@pytest.mark.slow
async def test_an_address_that_everybody_dials_as_his_own_is_said_at_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with ClusteredActorSystem(name="s", host="0.0.0.0", port=0, config=FAST):
        lines = [record.getMessage() for record in caplog.records]
        assert any("tells others to dial 0.0.0.0, by which each reaches itself" in line for line in lines)


async def test_a_reachable_address_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with ClusteredActorSystem(name="s", host="127.0.0.1", port=0, config=FAST):
        assert not [record for record in caplog.records if "cannot reach" in record.getMessage()]


def test_brackets_are_refused_with_the_address_to_write() -> None:
    with pytest.raises(ConfigError, match="without brackets, '::1'"):
        ClusteredActorSystem(name="s", host="[::1]", port=0)
