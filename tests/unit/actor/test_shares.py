"""What other processes leave in this one's tables is bounded by process, and goes with it."""

from __future__ import annotations

import asyncio

import pytest

from casty.actor import watching
from casty.actor.behavior import Behaviors
from casty.actor.local import LocalSystem, Origin
from casty.actor.shares import ROW_BYTES, Shares
from casty.actor.watch_protocol import HEARD, OVER, UNWATCH, WATCH
from casty.runtime import current


def test_a_process_has_its_bytes_and_no_more() -> None:
    shares: Shares[int] = Shares(3 * ROW_BYTES)
    assert shares.add("a", 1, 100) and shares.add("a", 2, 0)
    assert shares.add("a", 1, 10**9), "it is there already"
    assert not shares.add("a", 3, 0)
    assert shares.add("b", 3, 0), "another process has its own"
    shares.drop("a", 1)
    shares.drop("a", 1)
    assert shares.size_bytes("a") == ROW_BYTES
    assert shares.forget("a") == [2] and shares.forget("a") == []
    assert shares.size_bytes("a") == 0 and shares.add("a", 3, 0)
    shares.drop("b", 3)
    assert shares._rows == {"a": {3: ROW_BYTES}} and shares._bytes == {"a": ROW_BYTES}


async def test_watches_of_one_process_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_WATCH_BYTES", 20 * ROW_BYTES)
    local = LocalSystem("test", current(), origin=Origin("h", 1, "me"))
    local.spawn(Behaviors.ignore(), "x")
    local.spawn(Behaviors.ignore(), "y")
    table = local.watching.table
    one, two = (local.cells[name].number for name in ("x", "y"))

    def watch(source: str, id: int, path: str) -> None:
        local.watching.take(source, [[WATCH, id, path, None, None]])

    for id in range(1, 101):
        watch("c#1", id, "/x")
    assert table.watchers_of(one) == 20 and local.watching.refused == 80
    watch("c#1", 101, "/y")
    watch("d#1", 1, "/y")
    assert table.watchers_of(two) == 1, "the process has what it may have; others have theirs"
    local.watching.take("c#1", [[UNWATCH, 1]])
    watch("c#1", 101, "/y")
    assert (table.watchers_of(one), table.watchers_of(two)) == (19, 2)
    local.watching.take("c#1", [[OVER, 101]])
    assert (table.watchers_of(one), table.watchers_of(two)) == (0, 1)
    assert table.shares.size_bytes("c#1") == 0
    await local.shutdown()
    local.watching.take("d#1", [[HEARD, 1]])
    await asyncio.sleep(0)
    assert table.shares._rows == {} and table.held == {} and table._talks == {}, (
        "with the actor go the watches of it"
    )
