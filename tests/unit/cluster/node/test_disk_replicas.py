"""Which replicas a node with a disk creates, and as what."""

from __future__ import annotations

from typing import Any, cast

from casty.cluster.control.machine import FOUND, JOIN, ControlMachine
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.node.replica_factory import Groups
from casty.config import Settings
from casty.transport.output_batch import OutputBatch
from casty.wire.pack import pack
from tests.kit.ports import Ports

FOUNDERS = [[name, f"{name}+1+x", name, 1, [None, 100, []]] for name in ("a", "b", "c")]
DOCUMENT = {
    "id": "f", "founder": "a", "name": "shop", "generation": 5, "cluster_id": "c", "slots": 2, "replication": 3,
    "settings": {"session_ttl_s": 15, "drift": 0.01}, "founders": FOUNDERS,
}  # fmt: skip


class Replica:
    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def made() -> tuple[Host, Groups, ControlMachine]:
    runtime = Ports().runtime
    host = Host(runtime, lambda to, kind, body: True, 1 << 20)
    output = OutputBatch(runtime, lambda callback: None)
    groups = Groups(
        host, runtime, Settings(), "a#a", lambda slot, epoch, machine: cast("Any", Replica()), output
    )
    machine = ControlMachine()
    machine.apply(pack([FOUND, DOCUMENT]))
    return host, groups, machine


def of(host: Host, number: int) -> Group:
    return host.groups[number]


def test_founders_create_the_first_group_in_their_places() -> None:
    host, groups, machine = made()
    groups.follow(machine, "a")
    membership = of(host, 1).core.membership
    assert (
        membership is not None and membership.voters == ("a#a", "b#b", "c#c") and of(host, 1).core.id == "a#a"
    )


def test_a_replica_that_the_disk_lost_is_not_created_as_the_first_of_its_group() -> None:
    host, groups, machine = made()
    groups.lost(0, machine.slots[0].epoch)
    groups.follow(machine, "a")
    assert of(host, 1).core.membership is None and of(host, 2).core.membership is not None


def test_a_later_process_of_the_disk_follows_before_it_is_known() -> None:
    host, groups, machine = made()
    machine.apply(pack([JOIN, "a", "a+2+y", "a", 1, [None, 100, []]]))
    groups.follow(machine, "a")
    assert sorted(host.groups) == [1, 2]
    other_host, others, machine = made()
    machine.apply(pack([JOIN, "a", "z", "a", 1, [None, 100, []]]))
    others.follow(machine, "a")
    assert not other_host.groups, "the node goes on without this disk"
