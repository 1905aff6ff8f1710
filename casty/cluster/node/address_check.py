"""What a node says at its start about the address that it listens on and the one that it tells others to dial."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from casty.address import NodeAddress, is_loopback, is_unspecified
from casty.cluster.node.options import NodeOptions, check_quorum
from casty.discovery import AUTO, Discovery
from casty.errors import ConfigError
from casty.ports import Link, Runtime
from casty.tls import Config

__all__ = ["check_reach", "warn_if_open", "with_own_address"]

log = logging.getLogger("casty.node")

REACH_S = 2.0
"""How long a node tries to reach its own address."""


def warn_if_open(node_id: str, listens_on: tuple[str, int], *, is_guarded: bool) -> None:
    """Say when whoever reaches the port may take part; on a loopback address that is this machine only."""
    if is_guarded or is_loopback(listens_on[0]):
        return
    log.warning(
        "node %s listens on %s:%s with neither TLS nor a shared secret: whoever reaches that port can take part as a "
        "node or client; give tls= or secret= (docs/security.md), or let the network keep strangers out",
        node_id, *listens_on,
    )  # fmt: skip


async def with_own_address(options: NodeOptions, runtime: Runtime, discovery: Discovery) -> NodeOptions:
    """Look for the seeds a first time, and return the options with the address that others see in place of ``auto``.

    It is the address by which the first seed is reached that is on another machine; without one, all others.

    Raises
    ------
    ConfigError
        This machine has no such address, or then `required_quorum` is less than a majority.
    """
    if options.contacts.changes:
        await discovery.look()
    if options.host != AUTO:
        return options
    others = [address.host for address in discovery.addresses if not is_loopback(address.host)]
    seeds = [address.host for address in discovery.addresses]
    failed: OSError | None = None
    for target in (*(others or seeds), None):
        try:
            host = await runtime.outward(target)
        except OSError as error:
            failed = error
            continue
        log.info("host auto: others see this machine as %s", host)
        check_quorum(options.required_quorum, options.contacts, NodeAddress(host, options.port))
        return replace(options, host=host)
    raise ConfigError(
        f"host: expected an address of this machine for 'auto', found none: {failed}; give the address that others dial"
    )


async def check_reach(
    runtime: Runtime, node_id: str, address: NodeAddress, listens_on: str, tls: Config | None
) -> None:
    """Say before anything else when a node does not reach the address that it tells others to dial.

    A warning: behind some address translations a node reaches itself by its private address only.
    """
    host, port = address
    if is_unspecified(host):
        text = (
            "node %s tells others to dial %s, by which each reaches itself; give host= an address of its own"
        )
        log.warning(text, node_id, host)
    try:
        async with asyncio.timeout(REACH_S):
            link = await runtime.transport.dial(host, port, _Unheard, tls=tls)
    except (OSError, TimeoutError) as error:
        log.warning(
            "node %s listens on %s and cannot reach the address that it tells others to dial, %s:%s: %s; "
            "members and clients that dial it may not either: check host, bind_host and the firewall",
            node_id, listens_on, host, port, str(error) or type(error).__name__,
        )  # fmt: skip
    else:
        link.abort()


class _Unheard:
    """The near end of a link that only shows that it can be made."""

    def __init__(self, link: Link) -> None:
        del link

    def data_received(self, data: bytes) -> None:
        """Nothing is asked, so nothing is answered."""

    def link_lost(self, reason: BaseException | None) -> None:
        """It served its purpose."""
