"""What other processes leave in this one's tables is bounded by process, and goes with it."""

from __future__ import annotations

import pytest

from casty.actor import watching
from casty.actor.behavior import Behaviors
from casty.actor.local import LocalSystem, Origin
from casty.actor.ref import ActorRef
from casty.actor.shares import ROW_BYTES, Shares
from casty.actor.watching import Unwatch, Watch
from casty.address import ActorAddress
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

    def ref(node_id: str, number: int) -> ActorRef[object]:
        return local.make_ref(ActorAddress("test", f"/w{number}", "h2", 1, node_id))

    for number in range(100):
        local.receive("/x", Watch(ref("c", number)))
    cell, other = local.cells["x"], local.cells["y"]
    taken = len(cell.watchers)
    assert 10 < taken <= 20 and local.watching.refused == 100 - taken
    local.receive("/y", Watch(ref("c", 1)))
    local.receive("/y", Watch(ref("d", 1)))
    assert len(other.watchers) == 1, "the process has what it may have; others have theirs"
    local.receive("/x", Unwatch(ref("c", 0)))
    local.receive("/y", Watch(ref("c", 1)))
    assert (len(cell.watchers), len(other.watchers)) == (taken - 1, 2)
    local.node_lost("c")
    assert cell.watchers == {} and len(other.watchers) == 1
    assert local.watching._away.size_bytes("c") == 0
    await local.shutdown()
    assert local.watching._away._rows == {}, "with the actor go the watches of it"
