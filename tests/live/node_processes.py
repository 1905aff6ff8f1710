"""Node processes that come and go, and a client that counts meanwhile: what several tests of members share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from casty import ClusterClient
from casty.cli.member import members_of
from casty.cli.processes import HOST, NodeProcess, free_ports
from casty.cli.status import fetch_status

__all__ = ["SLOTS", "WITHIN_S", "Nodes", "counting", "drain", "even", "whole"]

NAME = "elastic"
SLOTS = 24
LOCKS = 8
SETTINGS = {"slots": SLOTS, "unreachable_after_s": 1.0, "down_after_s": 2.0}
WITHIN_S = 60.0


class Nodes:
    """Node processes, each under a name and a port of its own.

    Parameters
    ----------
    folder
        For their logs, and for their data directories.
    on_disk
        Whether they have any.
    """

    def __init__(self, folder: Path, *, on_disk: bool = False) -> None:
        self._folder = folder
        self._is_on_disk = on_disk
        self._ports = free_ports(8)
        self.there: dict[str, NodeProcess] = {}
        self.extra: dict[str, tuple[str, ...]] = {}
        """Further words for nodes, by name."""

    @property
    def contacts(self) -> list[tuple[str, int]]:
        return [(HOST, node.port) for node in self.there.values()]

    async def add(self, *names: str, seeds: list[int] | None = None, extra: tuple[str, ...] = ()) -> None:
        """Start nodes at once, which found together or join those that are there."""
        ports = {name: self._ports.pop() for name in names}
        known = [port for _, port in self.contacts] or list(ports.values())
        for name, port in ports.items():
            log = self._folder / f"{name}.log"
            data = ("--data-dir", str(self._folder / f"{name}-data")) if self._is_on_disk else ()
            words = (*extra, *self.extra.get(name, ()), *data)
            self.there[name] = NodeProcess(NAME, name, port, seeds or known, log, words, SETTINGS)
            await self.there[name].start()
        for name in names:
            await self.there[name].ready()

    async def members(self) -> dict[str, dict[str, Any]]:
        """Return what the first node that is there says of the members."""
        document = await fetch_status(self.contacts[0])
        return {member["id"]: member for member in members_of(document)}

    async def until(self, is_so: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Wait until something holds of the members."""
        members: dict[str, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(WITHIN_S):
                while not is_so(members := await self.members()):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"not so within {WITHIN_S} s: {members}") from None

    async def end(self) -> None:
        for node in self.there.values():
            await node.kill()


async def counting(nodes: Nodes, meanwhile: Callable[[], Awaitable[None]]) -> int:
    """Count in all slots, with a map and locks of six callers each beside, while something happens; nothing may fail.

    A lock of all callers would make the last of them wait for 47 others, each with two syncs on a disk: near its
    deadline when nothing happens.
    """
    failed: list[str] = []
    counts: dict[str, int] = {}
    is_over = False
    async with ClusterClient(contact_points=nodes.contacts, system_name=NAME) as client:
        await client.ready()
        d = client.distributed()

        async def count(number: int) -> None:
            name = f"c{number}"
            counter, names, lock = d.counter(name), d.map("counts"), d.lock(f"lock-{number % LOCKS}")
            while not is_over:
                try:
                    value = await counter.increment()
                    await names.put(name, value)
                    async with lock:
                        pass
                except Exception as error:
                    failed.append(f"{name}: {error!r}")
                    return
                counts[name] = counts.get(name, 0) + 1
                if value != counts[name]:
                    failed.append(f"{name}: {value} after {counts[name]} increments")
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(count(number)) for number in range(2 * SLOTS)]
        try:
            await meanwhile()
        finally:
            is_over = True
            await asyncio.gather(*tasks)
        assert not failed, f"{len(failed)} of {len(tasks)} callers failed: {failed[:3]}"
        for name, value in counts.items():
            found = await d.counter(name).get(), await d.map("counts").get(name)
            assert found == (value, value), f"{name}: {found} after {value} increments and puts"
    return sum(counts.values())


def even(members: dict[str, dict[str, Any]], names: list[str]) -> bool:
    """Whether these are the members, and the replicas are spread over them and where they should be."""
    replicas = [member["replicas"] for member in members.values()]
    return (
        sorted(members) == sorted(names)
        and all(member["status"] == "up" for member in members.values())
        and all(member["replicas"] == member["planned"] for member in members.values())
        and max(replicas) - min(replicas) <= 1
    )


def whole(names: list[str]) -> Callable[[dict[str, dict[str, Any]]], bool]:
    """Return what says whether each of these has a replica of every slot."""
    return lambda members: all(members[name]["replicas"] == SLOTS for name in names)


async def drain(nodes: Nodes, name: str) -> None:
    """Have a node leave for good, as an operator does."""
    contact = next(node.port for other, node in nodes.there.items() if other != name)
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "casty.cli", "member", "drain", name, "--contact", f"{HOST}:{contact}"
    )
    assert await command.wait() == 0
    async with asyncio.timeout(WITHIN_S):
        assert await nodes.there.pop(name).ended() == 0, "a node that was drained ends by itself"
