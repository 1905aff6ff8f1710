"""Who waited under a leadership that ended, or for a session that is over, is told in parts: a turn each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.cluster.multiraft.proposals import EXPIRED, NOT_LEADER, UNKNOWN
from casty.cluster.node.request_handler import LATE_AT_ONCE, RequestHandler
from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import END_PART, MachineLimits, SlotMachine
from casty.cluster.slots.node_memory import NodeMemory
from casty.cluster.slots.replica import SlotReplica
from casty.cluster.slots.schema import COMMAND, EXPIRE, OPEN
from casty.config import Settings
from casty.distributed.machines.base import LOCK
from casty.wire.pack import pack
from tests.kit.gateways import Answers
from tests.kit.ports import Ports

SETTINGS = Settings(slots=1)
TTL_NS = 10**10


class Served:
    """A node that leads one slot for which very many wait."""

    def __init__(self) -> None:
        ports = Ports()
        self.clock, self.runtime = ports.clock, ports.runtime
        self.flushes = 0
        host: Any = SimpleNamespace(groups={}, transfer_bytes=0, mark=lambda group: None)
        self.memory = NodeMemory(MemoryBudget(2**30), "a", host, {}, lambda: 0)
        node: Any = SimpleNamespace(
            runtime=self.runtime, settings=SETTINGS, memory=self.memory, node_id="a", gateway=None, host=host,
            output=SimpleNamespace(mark_due=self._flush), leaders=SimpleNamespace(learn=lambda *hint: None),
        )  # fmt: skip
        machine = ControlMachine()
        machine.settings = {
            name: getattr(SETTINGS, name)
            for name in ("session_ttl_s", "max_entities", "max_sessions", "max_waiters")
        }
        replica = RequestHandler(node).make_slot(0, 1, machine)
        assert isinstance(replica, SlotReplica)
        self.replica = replica
        log = SimpleNamespace(offset=0, slice=lambda first, last: [])
        core = SimpleNamespace(term=1, leader="a#1", propose=self._propose, log=log, lead_index=1)
        self.group: Any = SimpleNamespace(number=1, epoch=1, is_leading=True, core=core, applied_index=1)
        self.index = 0
        replica.role_changed(self.group)

    def _flush(self) -> None:
        self.flushes += 1

    def _propose(self, data: bytes) -> int:
        del data
        self.index += 1
        return self.index


def test_a_leadership_that_ends_tells_in_parts() -> None:
    served, link = Served(), Answers()
    leader = served.replica.leader
    assert leader is not None
    for call_id in range(LATE_AT_ONCE + 10):
        leader.wait(1, call_id, link, call_id)
        served.replica.proposals.propose(served.group.core, b"entry", link, 10_000 + call_id)
    served.group.is_leading = False
    served.replica.role_changed(served.group)
    counts = []
    for _ in range(4):
        counts.append(len(link.calls))
        served.clock.run_due()
    assert counts == [LATE_AT_ONCE, 2 * LATE_AT_ONCE, 2 * LATE_AT_ONCE + 20, 2 * LATE_AT_ONCE + 20]
    assert served.flushes == counts[-1], "each part leaves with its turn"
    assert [reply for _, reply in link.calls] == (
        [[NOT_LEADER, None, 1]] * (LATE_AT_ONCE + 10) + [[UNKNOWN]] * (LATE_AT_ONCE + 10)
    )


def test_who_waits_under_the_next_leadership_here_is_not_told_of_the_former_one() -> None:
    served, link = Served(), Answers()
    for call_id in range(3 * LATE_AT_ONCE):
        assert served.replica.leader is not None
        served.replica.leader.wait(1, call_id, link, call_id)
    served.group.core.term = 2
    served.replica.role_changed(served.group)
    assert served.replica.leader is not None
    served.replica.leader.wait(1, 7, link, 99_999)
    for _ in range(4):
        served.clock.run_due()
    assert sorted(call_id for call_id, _ in link.calls) == list(range(3 * LATE_AT_ONCE))


def test_who_waits_for_a_session_that_ends_in_parts_hears_of_it_in_parts() -> None:
    machine, link = SlotMachine(MachineLimits(), 1), Answers()
    leader = SlotLeader(machine, TTL_NS, 0)
    machine.apply(1, pack([OPEN, b"a", b"g"]))
    count = 3 * END_PART
    for seq in range(1, count + 2):
        machine.apply(seq + 1, pack([COMMAND, 1, seq, seq, 1, LOCK, b"one", [1]]))
        if seq > 1:
            leader.wait(1, seq, link, seq)
    index, told = count + 10, []
    while 1 in machine.sessions:
        applied = machine.apply(index, pack([EXPIRE, 1]))
        index += 1
        if applied.ended is None:
            leader.part_applied(1, None)
        else:
            leader.ended(1)
        told.append(len(link.calls))
    steps = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert max(steps) <= END_PART and told[-1] == count
    assert all(reply == [EXPIRED] for _, reply in link.calls)
