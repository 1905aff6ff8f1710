"""Real processes that come, leave, die for good and are replaced under other names, while a client counts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from casty import ClusterClient
from casty.cli.member import members_of
from casty.cli.processes import HOST, NodeProcess, free_ports
from casty.cli.status import fetch_status

pytestmark = [pytest.mark.live, pytest.mark.slow]

NAME = "elastic"
SLOTS = 24
SETTINGS = {"slots": SLOTS, "unreachable_after_s": 1.0, "down_after_s": 2.0}
WITHIN_S = 60.0


class Nodes:
    """Node processes, each under a name and a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            words = (*extra, *self.extra.get(name, ()))
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


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """Processes that are gone afterwards."""
    made = Nodes(tmp_path)
    yield made
    await made.end()


async def counting(nodes: Nodes, meanwhile: Callable[[], Awaitable[None]]) -> int:
    """Count in all slots, with eight keys of a map and a lock beside, while something happens; nothing may fail."""
    failed: list[str] = []
    counts: dict[str, int] = {}
    is_over = False
    async with ClusterClient(contact_points=nodes.contacts, system_name=NAME) as client:
        await client.ready()
        d = client.distributed()

        async def count(name: str) -> None:
            counter, names = d.counter(name), d.map("counts")
            while not is_over:
                try:
                    value = await counter.increment()
                    await names.put(name, value)
                    async with d.lock("one"):
                        pass
                except Exception as error:
                    failed.append(f"{name}: {error!r}")
                    return
                counts[name] = counts.get(name, 0) + 1
                if value != counts[name]:
                    failed.append(f"{name}: {value} after {counts[name]} increments")
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(count(f"c{number}")) for number in range(2 * SLOTS)]
        try:
            await meanwhile()
        finally:
            is_over = True
            await asyncio.gather(*tasks)
        assert failed == []
        for name, value in counts.items():
            assert await d.counter(name).get() == value
            assert await d.map("counts").get(name) == value
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


async def test_three_become_five_seven_and_four_under_load_and_no_call_fails(nodes: Nodes) -> None:
    await nodes.add("a", "b", "c")

    async def change() -> None:
        await nodes.add("d", "e")
        await nodes.until(lambda members: even(members, ["a", "b", "c", "d", "e"]))
        leads = [member["leads"] for member in (await nodes.members()).values()]
        assert sum(leads) == SLOTS
        await nodes.add("f", "g")
        await nodes.until(lambda members: even(members, ["a", "b", "c", "d", "e", "f", "g"]))
        for name in ("a", "b", "c"):
            await drain(nodes, name)
        await nodes.until(lambda members: even(members, ["d", "e", "f", "g"]))

    assert await counting(nodes, change) > 1000


async def test_the_loss_of_a_zone_fails_no_call(nodes: Nodes) -> None:
    for zone in ("x", "y", "z"):
        nodes.extra[f"{zone}1"] = nodes.extra[f"{zone}2"] = ("--zone", zone)
    await nodes.add("x1", "y1", "z1")
    await nodes.add("x2", "y2", "z2")
    await nodes.until(lambda members: even(members, ["x1", "x2", "y1", "y2", "z1", "z2"]))

    async def change() -> None:
        document = await fetch_status(nodes.contacts[0])
        for slot in document["slots"]:
            assert sorted(name[0] for name in slot["replicas"]) == ["x", "y", "z"]
        victims = [nodes.there.pop(name) for name in ("x1", "x2")]
        await asyncio.gather(*[victim.kill() for victim in victims])
        # Nobody of that zone is left: others take its places, so each slot has three replicas again.
        await nodes.until(lambda members: sum(members[name]["replicas"] for name in nodes.there) == 3 * SLOTS)

    assert await counting(nodes, change) > 2 * SLOTS


async def test_three_nodes_are_replaced_one_by_one_under_other_names_and_nothing_is_lost(
    nodes: Nodes,
) -> None:
    await nodes.add("a", "b", "c")

    async def change() -> None:
        for victim, newcomer in (("a", "d"), ("b", "e"), ("c", "f")):
            await nodes.there.pop(victim).kill()
            await nodes.add(newcomer)
            await nodes.until(whole(list(nodes.there)))
        await nodes.until(lambda members: even(members, ["d", "e", "f"]))

    assert await counting(nodes, change) > 1000


async def test_a_node_that_leaves_when_it_is_told_to_stop_takes_nothing_along(nodes: Nodes) -> None:
    await nodes.add("a", "b", "c", "d", extra=("--leave-on-stop",))

    async def change() -> None:
        assert await nodes.there.pop("a").stop(WITHIN_S) == 0
        await nodes.until(lambda members: even(members, ["b", "c", "d"]))

    await counting(nodes, change)
