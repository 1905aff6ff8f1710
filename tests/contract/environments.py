"""Environments in which the contract is tried, and what they need."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trustme

from casty.tls import Config
from sim import World as SimWorld

HOST = "127.0.0.1"
LIMIT_S = 20.0


@dataclass(frozen=True)
class Environment:
    """Somewhere to run a coroutine with ``runtime.current()`` set.

    Parameters
    ----------
    name
        For the test's id.
    host
        What to listen on and to dial.
    tls
        What both ends use.
    run
        Runs a coroutine function to its end and returns nothing.
    """

    name: str
    host: str
    tls: Config | None
    run: Callable[[Callable[[], Awaitable[None]]], None]


def run_for_real(main: Callable[[], Awaitable[None]]) -> None:
    """Run on the stock loop; at the end every task is gone and nothing was reported to the loop."""
    reported: list[dict[str, object]] = []

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        async with asyncio.timeout(LIMIT_S):
            await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(guarded())
    assert reported == []


def run_simulated(main: Callable[[], Awaitable[None]]) -> None:
    """Run in a simulated world, as one process."""
    with SimWorld(1) as world:
        world.run(_as_coroutine(main), limit_s=LIMIT_S)
        assert world.errors == []


async def _as_coroutine(main: Callable[[], Awaitable[None]]) -> None:
    await main()


def contexts_of(authority: trustme.CA, *names: str) -> Config:
    """Return mutual TLS with a certificate for these names, signed by that authority."""
    certificate = authority.issue_cert(*names)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        certificate.configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    server.num_tickets = 0
    return Config(server, client)
