"""Checks of bounds: what is within them, and each bound passed by one."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.control.machine import FOUND, REGION
from casty.cluster.slots.operations import OP_WRITE
from casty.consensus import Entry
from casty.events import TopologyChanged
from casty.wire import frames
from casty.wire.framing import frame
from casty.wire.pack import pack
from sim import World
from sim.checks.step.attempts import FREE, Attempts
from sim.checks.step.versions import Versions
from sim.checks.violation import Violation, ViolationError

FOUNDED = {
    "name": "shop", "generation": 5, "cluster_id": "c1", "replication": 3, "slots": 2, "settings": {},
    "founders": [["a", "a-1", "a", 1, [None, 100, []]]],
}  # fmt: skip


def request(call_id: int) -> bytes:
    return frame(frames.REQUEST, pack([[call_id, 0, 1, OP_WRITE, b"", b""]]))


def test_attempts_are_counted_on_the_wire_and_changes_allow_for_more() -> None:
    found: list[Violation] = []
    with World(1) as world:
        attempts = Attempts(world, found.append)
        heard: Any = world.network.watchers[-1]
        for _ in range(FREE):
            heard(world.test.incarnation, request(7) + frame(frames.PING, b""))
        assert not found and attempts.frames == {frames.REQUEST: FREE, frames.PING: FREE}
        world.record("a", TopologyChanged(1, 1))
        world.record("a", TopologyChanged(1, 2))
        heard(world.test.incarnation, request(7))
        assert not found
        heard(world.test.incarnation, request(7))
        assert [violation.number for violation in found] == [9]
        heard(world.test.incarnation, request(8))
        assert len(found) == 1, "another call has a count of its own"


def test_a_version_that_changes_nothing() -> None:
    versions = Versions()
    region = Entry(1, 0, pack([REGION, "cart", 4, None]))
    for entry in (Entry(1, 0, pack([FOUND, FOUNDED])), region, region, Entry(1, 1, b"")):
        versions.committed((0, 1), entry)
    machine = next(iter(versions.machines.values()))
    machine.regions = _Renamed(machine.regions)
    with pytest.raises(ViolationError, match=r"\[47\]"):
        versions.committed((0, 1), Entry(1, 0, pack([REGION, "cart", 4, None])))


class _Renamed(dict[str, int]):
    """Forgets what it is asked for, and so records it again."""

    def get(self, key: str, default: Any = None) -> Any:
        del key
        return default
