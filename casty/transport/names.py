"""Names and addresses as the system knows them: what a name stands for, and by which address this machine is seen."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["addresses_of", "outward_address"]

ELSEWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses of nobody (RFC 5737, RFC 3849): the way to them is the way to all that no other way leads to."""
ANY_PORT = 9


async def addresses_of(name: str) -> list[str]:
    """Return all addresses of a name, sorted; raises `OSError` when there are none.

    The resolver runs in a thread of the loop's executor.
    """
    rows = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted(dict.fromkeys(str(row[4][0]) for row in rows))


async def outward_address(host: str | None) -> str:
    """Return the address of this machine by which it reaches `host`, or, for None, all others; sends nothing.

    Raises
    ------
    OSError
        The host is not known, or no way leads there.
    """
    error = OSError("no address")
    for target in ELSEWHERE if host is None else await addresses_of(host):
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect((target, ANY_PORT))  # a datagram's connect only chooses the way
                return str(way.getsockname()[0])
        except OSError as why:
            error = why
    raise error
