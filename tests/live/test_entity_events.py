"""Event-sourced entities of real processes: their nodes are killed under load, one by one and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from casty import ClusterClient, ShardEnvelope
from casty.cli.processes import Cluster
from examples.bank_account import Look, Statement, book

pytestmark = [pytest.mark.live, pytest.mark.slow]

APP = ("--app", "examples.bank_account:app")
ACCOUNTS = [f"account-{number}" for number in range(8)]
WITHIN_S = 60.0


class Load:
    """One teller for each account: each booking is asked for until it is acknowledged."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self.booked = dict.fromkeys(ACCOUNTS, 0)
        self.highest = dict.fromkeys(ACCOUNTS, 0)
        self.is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        self._tasks = [asyncio.create_task(self._tell(name)) for name in ACCOUNTS]

    async def _tell(self, name: str) -> None:
        while not self.is_over:
            statement = await book(self._client, name, f"{name}-{self.booked[name]}", 5)
            self.booked[name] += 1
            # The only teller: what is booked is what it booked, each once.
            assert statement.balance == 5 * statement.bookings == 5 * self.booked[name]

    async def go_on(self) -> None:
        """Wait until each account has taken a booking that began after now."""
        before = dict(self.booked)
        async with asyncio.timeout(WITHIN_S):
            while any(self.booked[name] < before[name] + 2 for name in ACCOUNTS):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self.is_over = True
        await asyncio.gather(*self._tasks)
        accounts = self._client.entity_ref("accounts", num_shards=20)
        for name in ACCOUNTS:
            found: Statement = await self._client.ask(
                accounts,
                lambda reply, name=name: ShardEnvelope(name, Look(reply)),
                timeout=WITHIN_S,  # type: ignore[misc]
            )
            assert (found.balance, found.bookings) == (5 * self.booked[name], self.booked[name])


@asynccontextmanager
async def running(folder: Path, data: Path | None = None) -> AsyncIterator[tuple[Cluster, Load]]:
    cluster = Cluster(3, folder, extra=APP, data=data)
    await cluster.start()
    try:
        async with ClusterClient(contact_points=cluster.contacts, system_name=cluster.system) as client:
            await client.ready()
            load = Load(client)
            load.begin()
            await load.go_on()
            yield cluster, load
            await load.end()
    finally:
        await cluster.stop()


async def test_the_node_of_each_entity_is_killed_under_load(tmp_path: Path) -> None:
    async with running(tmp_path) as (cluster, load):
        for node in cluster.nodes.values():
            await node.kill()
            await load.go_on()
            await node.start()
            await node.ready()
            await load.go_on()


async def test_all_nodes_are_killed_at_once_and_their_disks_have_every_event(tmp_path: Path) -> None:
    async with running(tmp_path, tmp_path) as (cluster, load):
        for _ in range(2):
            await asyncio.gather(*(node.kill() for node in cluster.nodes.values()))
            await cluster.start()
            await load.go_on()
