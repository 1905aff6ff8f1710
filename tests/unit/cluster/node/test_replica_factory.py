"""Groups are created in parts, a turn each, and only what the control state still names by then."""

from __future__ import annotations

from typing import cast

from casty.address import peer_key
from casty.cluster.control.machine import ControlMachine, MemberRow, SlotRow
from casty.cluster.multiraft.host import Host, Replica
from casty.cluster.node.replica_factory import CREATED_AT_ONCE, Groups
from casty.config import Settings
from casty.consensus import Role
from casty.transport.output_batch import OutputBatch
from tests.kit.hosts import Applied
from tests.kit.ports import Ports

EPOCH = 5
ME = peer_key("a", "1")
PEERS = tuple(peer_key(name, "1") for name in ("a", "b", "c"))


class Starting:
    """A node whose control state names many slots."""

    def __init__(self, slots: int) -> None:
        ports = Ports()
        self.clock, runtime = ports.clock, ports.runtime
        self.host = Host(runtime, lambda to, kind, body: True, 2**20)
        output = OutputBatch(runtime, lambda callback: None)
        output.hooks.append(self.host.settle)
        self.groups = Groups(self.host, runtime, Settings(), ME, self._replica, output)
        self.machine = ControlMachine()
        self.machine.members = {
            name: MemberRow(name, "1", name, 1, "up", was_up=True) for name in ("a", "b", "c")
        }
        rows = [
            SlotRow(EPOCH, PEERS, ("a", "b", "c"), "a" if slot % 3 == 0 else "b") for slot in range(slots)
        ]
        self.machine.slots = rows

    def _replica(self, slot: int, epoch: int, machine: ControlMachine) -> Replica:
        del slot, epoch, machine
        return cast("Replica", Applied())

    def turn(self) -> int:
        """Run what is due now, but nothing that this makes due; return how many groups there are then."""
        self.clock.run_due()
        return len(self.host.groups)


def test_no_turn_creates_more_than_a_part() -> None:
    node = Starting(5 * CREATED_AT_ONCE // 2)
    node.groups.follow(node.machine, "a")
    counts = [len(node.host.groups), node.turn(), node.turn(), node.turn()]
    assert counts == [CREATED_AT_ONCE, 2 * CREATED_AT_ONCE, len(node.machine.slots), len(node.machine.slots)]
    assert all(group.core.membership is not None for group in node.host.groups.values())
    standing = [
        group.number - 1 for group in node.host.groups.values() if group.core.role is not Role.FOLLOWER
    ]
    assert standing == [slot for slot in range(len(node.machine.slots)) if slot % 3 == 0]


def test_what_is_not_named_any_more_is_not_created() -> None:
    node = Starting(2 * CREATED_AT_ONCE)
    node.groups.follow(node.machine, "a")
    last = len(node.machine.slots) - 1
    node.machine.slots[last] = SlotRow(EPOCH, PEERS, ("b", "c"), "b")
    node.groups.follow(node.machine, "a")
    assert node.turn() == last and last + 1 not in node.host.groups


def test_a_process_that_was_replaced_creates_nothing_more() -> None:
    node = Starting(2 * CREATED_AT_ONCE)
    node.groups.follow(node.machine, "a")
    node.machine.members["a"] = MemberRow("a", "2", "a", 1, "up", was_up=True)
    assert node.turn() == CREATED_AT_ONCE
    node.groups.follow(node.machine, "a")
    assert node.turn() == CREATED_AT_ONCE


def test_a_slot_is_founded_once_whenever_its_turn_comes() -> None:
    node = Starting(CREATED_AT_ONCE + 1)
    node.groups.follow(node.machine, "a")
    node.turn()
    node.host.remove(CREATED_AT_ONCE + 1)
    node.groups.follow(node.machine, "a")
    node.turn()
    assert node.host.groups[CREATED_AT_ONCE + 1].core.membership is None


def test_a_node_that_ended_creates_nothing_more() -> None:
    node = Starting(2 * CREATED_AT_ONCE)
    node.groups.follow(node.machine, "a")
    node.groups.close()
    assert node.turn() == CREATED_AT_ONCE
