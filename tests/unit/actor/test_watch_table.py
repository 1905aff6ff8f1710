"""The watches of processes over a wire, with what each of them sees of the others."""

from __future__ import annotations

from typing import Any

import pytest

from casty.actor.standing import Standing
from casty.actor.watch_protocol import GONE, Row, Target
from casty.actor.watch_table import Place, WatchTable
from casty.address import node_id_of, peer_key
from tests.kit.clock import settle
from tests.kit.network import at_once
from tests.kit.world import World

pytestmark = pytest.mark.asyncio

GRACE_S = 15


Rows = tuple[str, str, list[Row]]
"""The keys of who hears them and of who says them, and what they are."""


class WatchWorld(World[Rows]):
    """Processes by key; the network is one of node ids."""

    def __init__(self, *keys: str) -> None:
        super().__init__(carry=at_once, knows_cuts=True)
        self.at = {key: Citizen(self, key) for key in keys}

    def receive(self, sender: str, to: str, message: Rows) -> None:
        key, source, rows = message
        self.at[key].table.take(source, rows)

    def said(self) -> list[Row]:
        """Return everything that was said so far."""
        return [row for flight in self.network.sent for row in flight.message[2]]

    def look(self) -> None:
        for citizen in self.at.values():
            citizen.table.look()


class Citizen:
    """One process, and what it knows of the others."""

    def __init__(self, world: WatchWorld, key: str) -> None:
        self._world = world
        self._key = key
        self.judges = not key.startswith("c")
        self.grace_ns = GRACE_S * 1_000_000_000
        self.lives: dict[str, int] = {}
        self.heard: list[int] = []
        self.stands: dict[str, Standing] = {}
        self.is_sighted_now = True
        self.guardians: list[str] = []
        self.addresses: dict[str, str] = {}
        self.table = WatchTable(world.clock, self._find, self.heard.append, self._refused, 10**6)
        self.table.company = self

    def _find(self, path: str, incarnation: str | None, number: int | None) -> Target | None:
        found = self.lives.get(path)
        return found if number in (None, found) and incarnation in (None, self._key[-1]) else None

    def _refused(self, id: int) -> None:
        raise AssertionError("there is room")

    def watch(self, key: str, path: str = "x", *, is_exact: bool = True, host: str | None = None) -> int:
        id = self.table.new_id()
        node_id, incarnation = (None, None) if host else (node_id_of(key), key[-1] if is_exact else None)
        if not self.table.watch(id, Place(path, host, 1, node_id, incarnation, None)):
            self.heard.append(id)
        return id

    def stop(self, path: str) -> None:
        self.table.target_ended(self.lives.pop(path))

    def is_clean(self) -> bool:
        table: Any = self.table
        tables = (table._talks, table._by_node, table.mine, table._guards, table.held, table.shares._rows)
        return not any(tables)

    # -- the company

    def standing(self, node_id: str, incarnation: str) -> Standing:
        for key, standing in self.stands.items():
            if key == peer_key(node_id, incarnation) or (not incarnation and node_id_of(key) == node_id):
                return standing
        return Standing.UNKNOWN

    def node_at(self, host: str | None, port: int | None) -> str | None:
        return self.addresses.get(str(host))

    def is_sighted(self) -> bool:
        return self.is_sighted_now

    def guardian(self) -> str | None:
        return self.guardians[0] if self.guardians else None

    def say(self, key: str, rows: list[Row]) -> bool:
        there = [other for other in self._world.at if other.startswith(key)]
        link = node_id_of(self._key), node_id_of(key)
        return bool(there) and self._world.network.send(*link, (there[-1], self._key, rows))


def two_nodes() -> tuple[WatchWorld, Citizen, Citizen]:
    world = WatchWorld("a#1", "b#1")
    a, b = world.at["a#1"], world.at["b#1"]
    a.stands["b#1"] = b.stands["a#1"] = Standing.MEMBER
    b.lives["x"] = 1
    return world, a, b


async def test_an_end_in_a_cut_is_told_when_the_wire_is_back() -> None:
    world, a, b = two_nodes()
    id = a.watch("b#1")
    await settle()
    world.network.cut("b>a")
    b.stop("x")
    await world.advance(5)
    assert a.heard == []
    world.network.heal()
    await world.advance(1)
    assert a.heard == [id]
    await world.advance(2)
    assert a.is_clean() and b.is_clean()


async def test_nothing_is_said_and_no_timer_runs_while_nothing_happens() -> None:
    world, a, _ = two_nodes()
    a.watch("b#1")
    await world.advance(3)
    world.network.sent.clear()
    table: Any = a.table
    await world.advance(60)
    assert world.said() == [] and table._timer is None


async def test_who_is_judged_down_is_told_once_and_lets_go_when_it_is_back() -> None:
    world, a, b = two_nodes()
    first = a.watch("b#1")
    await settle()
    a.stands["b#1"] = Standing.DOWN
    world.look()
    assert a.heard == [first]
    assert a.watch("b#1") == a.heard[-1], "what is lost already is told at once"
    world.network.cut("a-b")
    await world.advance(60)
    assert a.table._timer is None, "who is down is not called"  # type: ignore[attr-defined]
    world.network.heal()
    a.stands["b#1"] = Standing.MEMBER
    world.look()
    await world.advance(2)
    assert b.table.watchers_of(1) == 0
    assert a.is_clean() and b.is_clean()
    again = a.watch("b#1")
    await settle()
    b.stop("x")
    await settle()
    assert a.heard[2:] == [again]


async def test_a_watcher_that_was_judged_down_hears_of_the_end_after_it() -> None:
    world, a, b = two_nodes()
    id = a.watch("b#1")
    await settle()
    b.stands["a#1"] = Standing.DOWN
    world.look()
    b.stands["a#1"] = Standing.MEMBER
    world.look()
    b.stop("x")
    await settle()
    assert a.heard == [id]


async def test_a_process_that_was_replaced_is_gone_with_its_rows() -> None:
    _, a, b = two_nodes()
    id = a.watch("b#1")
    a.lives["y"] = 7
    b.watch("a#1", "y")
    await settle()
    a.stands = {"b#2": Standing.MEMBER}
    a.table.look()
    await settle()
    assert a.heard == [id] and a.is_clean()


async def test_who_came_before_its_topology_is_not_taken_for_replaced() -> None:
    """A new process watches before this one hears that it is a member."""
    world = WatchWorld("a#2", "b#1")
    a, b = world.at["a#2"], world.at["b#1"]
    b.lives["x"] = 1
    b.stands = {"a#1": Standing.MEMBER, "a#2": Standing.LINKED}
    a.stands["b#1"] = Standing.MEMBER
    id = a.watch("b#1")
    await settle()
    b.stands = {"a#2": Standing.MEMBER}
    b.table.look("a")
    assert b.table.watchers_of(1) == 1
    b.stop("x")
    await settle()
    assert a.heard == [id]


async def test_a_client_that_is_missing_has_a_grace_that_counts_only_what_was_seen() -> None:
    world = WatchWorld("a#1", "c#1")
    a, c = world.at["a#1"], world.at["c#1"]
    c.lives["x"], c.stands["a#1"], a.stands["c#1"] = 1, Standing.MEMBER, Standing.LINKED
    id = a.watch("c#1")
    await settle()
    del a.stands["c#1"]
    a.table.look("c")
    await world.advance(GRACE_S - 5)
    a.is_sighted_now = False
    await world.advance(60)
    a.is_sighted_now = True
    world.clock.skip(60)  # it was suspended
    await world.advance(1)
    assert a.heard == []
    a.stands["c#1"] = Standing.LINKED
    a.table.look("c")
    await world.advance(60)
    assert a.heard == []
    del a.stands["c#1"]
    a.table.look("c")
    await world.advance(GRACE_S + 1)
    assert a.heard == [id] and a.is_clean()


async def test_a_grace_begins_when_the_client_went_missing_and_not_with_the_tick_before() -> None:
    world = WatchWorld("a#1", "b#1", "c#1")
    a, c = world.at["a#1"], world.at["c#1"]
    c.lives["x"], c.stands["a#1"], a.stands["c#1"] = 1, Standing.MEMBER, Standing.LINKED
    id = a.watch("c#1")
    await settle()
    a.watch("", host="nowhere")  # so the clock ticks already
    world.clock.advance(0.9)
    del a.stands["c#1"]
    a.table.look("c")
    a.heard.clear()
    world.clock.advance(0.1)
    await world.advance(GRACE_S - 1)
    assert id not in a.heard
    await world.advance(1)
    assert id in a.heard


async def test_a_late_tick_judges_nobody_as_what_others_said_was_not_read() -> None:
    world = WatchWorld("a#1", "c#1")
    a, c = world.at["a#1"], world.at["c#1"]
    c.lives["x"], c.stands["a#1"], a.stands["c#1"] = 1, Standing.MEMBER, Standing.LINKED
    a.watch("c#1")
    await settle()
    del a.stands["c#1"]
    a.table.look("c")
    await world.advance(GRACE_S - 1)
    world.clock.skip(4)  # it was suspended, and timers go before what was received
    world.clock.advance(0)
    a.stands["c#1"] = Standing.LINKED
    a.table.look("c")
    await world.advance(GRACE_S)
    assert a.heard == []


async def test_a_client_that_was_missing_for_too_long_asks_again() -> None:
    world = WatchWorld("a#1", "c#1")
    a, c = world.at["a#1"], world.at["c#1"]
    a.lives["x"], c.stands["a#1"], a.stands["c#1"] = 1, Standing.MEMBER, Standing.LINKED
    id = c.watch("a#1")
    await settle()
    del a.stands["c#1"]
    a.table.look("c")
    await world.advance(GRACE_S + 1)
    assert a.table.watchers_of(1) == 0
    a.stands["c#1"] = Standing.LINKED
    c.table.news_of(lambda node_id: node_id == "a")
    await settle()
    assert a.table.watchers_of(1) == 1 and c.heard == []
    a.stop("x")
    await settle()
    assert c.heard == [id]


async def test_an_address_of_nobody_is_told_after_the_grace_and_one_of_somebody_is_asked() -> None:
    world, a, b = two_nodes()
    nobody = a.watch("", host="nowhere")
    later = a.watch("", host="b-host")
    await world.advance(5)
    a.addresses["b-host"] = "b"
    a.table.look()
    await world.advance(GRACE_S)
    assert a.heard == [nobody]
    b.stop("x")
    await world.advance(2)
    assert a.heard == [nobody, later] and a.is_clean()
    a.table.unwatch(a.watch("", host="nowhere"))
    await settle()
    assert a.is_clean()


async def test_whoever_is_there_is_one_process_from_its_answer_on() -> None:
    world, a, b = two_nodes()
    id = a.watch("b#1", is_exact=False)
    await settle()
    assert list(a.table._talks) == ["b#1"]  # type: ignore[attr-defined]
    a.stands = {"b#2": Standing.MEMBER}
    a.table.look()
    assert a.heard == [id]
    left = a.watch("b#1", is_exact=False)
    a.table.unwatch(left)
    await world.advance(3)
    assert a.heard == [id] and a.is_clean() and b.table.watchers_of(1) in (0, 1)


async def test_nobody_else_tells_of_an_end() -> None:
    world, a, _ = two_nodes()
    world.network.cut("a>b")
    ids = [a.watch("b#1"), a.watch("b#1", is_exact=False)]
    for id in ids:
        a.table.take("c#1", [[GONE, id]])
    assert a.heard == []
    a.table.take("b#1", [[GONE, id] for id in ids])
    assert a.heard == ids


def clients() -> tuple[WatchWorld, Citizen, Citizen, Citizen, Citizen]:
    world = WatchWorld("a#1", "b#1", "c#1", "cc#1")
    a, b, c, d = world.at.values()
    for node in (a, b):
        node.stands.update({"c#1": Standing.LINKED, "cc#1": Standing.LINKED})
    for client in (c, d):
        client.stands.update({"a#1": Standing.MEMBER, "b#1": Standing.MEMBER})
        client.guardians.extend(("a#1", "b#1"))
    d.lives["x"] = 1
    return world, a, b, c, d


async def test_a_client_hears_from_a_node_that_another_client_is_gone() -> None:
    world, a, b, c, _ = clients()
    id = c.watch("cc#1")
    await settle()
    a.stands["c#1"] = b.stands["c#1"] = Standing.LINKED
    world.network.cut("c-cc")
    del a.stands["cc#1"]
    a.table.look("cc")
    await world.advance(GRACE_S - 1)
    assert c.heard == []
    await world.advance(3)
    assert c.heard == [id]
    await world.advance(2)
    assert c.is_clean() and a.is_clean()


async def test_another_node_is_asked_when_the_guardian_is_lost() -> None:
    world, a, b, c, _ = clients()
    id = c.watch("cc#1")
    await settle()
    c.guardians.remove("a#1")
    c.stands["a#1"] = Standing.DOWN
    c.table.look()
    await settle()
    assert c.heard == [] and a.table.watchers_of("cc#1") <= 1
    assert b.table.watchers_of("cc#1") == 1
    b.stands.pop("cc#1")
    b.table.look("cc")
    await world.advance(GRACE_S + 2)
    assert c.heard == [id]


async def test_watches_of_clients_leave_no_rows_at_their_guardians() -> None:
    world, a, b, c, d = clients()
    one, two = c.watch("cc#1"), c.watch("cc#1")
    await settle()
    assert a.table.watchers_of("cc#1") == 1, "one for both"
    assert a.table.watchers_of("c#1") == 1, "the watched one cannot see the watcher either"
    c.table.unwatch(one)
    d.stop("x")
    await world.advance(3)
    assert c.heard == [two]
    assert all(citizen.is_clean() for citizen in (a, b, c, d))
