"""Processes on their way into a cluster, and members that they meet: real bootstraps and admissions on a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.address import NodeAddress, peer_key
from casty.cluster.control.formation import Founding, Identity, Policy
from casty.cluster.control.machine import FOUND, ControlMachine
from casty.cluster.node.admission import Admission
from casty.cluster.node.bootstrap import Bootstrap
from casty.wire import frames
from casty.wire.pack import pack
from tests.kit.groups import ManualCore, ManualGroup
from tests.kit.world import World

__all__ = ["GENERATION", "ArrivalWorld", "Link", "Member", "Newcomer", "document_of"]

GENERATION = 5
LISTEN_NS = 1_000_000_000

Frame = tuple[int, bytes]
"""A kind and a body."""


def document_of(founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
    """Make what a founder proposes; its cluster is called after the ballot."""
    return {
        "id": founding_id, "founder": founding_id.partition("#")[0], "name": "shop", "generation": generation,
        "cluster_id": founding_id, "replication": 3, "slots": 1, "settings": {"session_ttl_s": 15, "drift": 0.01},
        "founders": [founder.plain for founder in founders],
    }  # fmt: skip


class Link:
    """A link as one end has it; `dialled_at` is where the other listens."""

    def __init__(self, world: ArrivalWorld, owner: str, other: str) -> None:
        self._world = world
        self._owner = owner
        incarnation = world.at[other].identity.incarnation
        self.remote = SimpleNamespace(node_id=other, incarnation=incarnation, role="node")
        self.dialled_at = (other, 1)

    def send(self, kind: int, body: bytes) -> bool:
        return self._world.network.send(self._owner, self.remote.node_id, (kind, body))


class Links:
    """The links of one process: with all others, or with those that it has dialled."""

    def __init__(self, world: ArrivalWorld, owner: str) -> None:
        self._world = world
        self._owner = owner
        self.dialled: dict[str, None] = {}
        """Node ids; of these it knows that it dialled them at a named address."""
        self.told: list[str] = []
        self.guests: list[str] = []
        self.why: list[str] = []

    def everyone(self) -> list[Link]:
        return [Link(self._world, self._owner, name) for name in self._world.linked(self._owner)]

    def named(self) -> list[Link]:
        return [link for link in self.everyone() if link.remote.node_id in self.dialled]

    def is_named(self, key: str) -> bool:
        return key.partition("#")[0] in self.dialled

    def is_linked(self, key: str) -> bool:
        return any(peer_key(link.remote.node_id, link.remote.incarnation) == key for link in self.everyone())

    def want_told(self, addresses: list[NodeAddress]) -> None:
        self.told = [address.host for address in addresses]
        self.dialled.update(dict.fromkeys(name for name in self.told if name in self._world.at))

    def want_guest(self, address: NodeAddress) -> None:
        self.guests.append(address.host)

    def send_to_node(self, node_id: str, kind: int, body: bytes) -> bool:
        return Link(self._world, self._owner, node_id).send(kind, body)

    def troubles(self) -> list[str]:
        return self.why


class Newcomer:
    """A process without a cluster."""

    def __init__(self, world: ArrivalWorld, identity: Identity, policy: Policy) -> None:
        self.identity = identity
        self.links = Links(world, identity.node_id)
        self.founding = Founding(identity, policy, document_of, world.clock.now())
        self.founded: list[dict[str, Any]] = []
        self.joined: list[int] = []
        self.complaints: list[str] = []
        self.troubles: list[str] = []
        links: Any = self.links
        self.bootstrap = Bootstrap(
            self.founding, identity, links, world.clock, self.founded.append, self.joined.append,
            self.complaints.append, lambda: self.troubles,
        )  # fmt: skip

    def take(self, link: Any, kind: int, body: bytes) -> None:
        if kind == frames.FOUNDING:
            self.bootstrap.on_frame(link, body)


class Member:
    """A member of a living cluster, which knows of it what one machine says; it leads, or knows who does."""

    def __init__(self, world: ArrivalWorld, identity: Identity, machine: ControlMachine, leader: str) -> None:
        self.identity = identity
        self.machine = machine
        self.links = Links(world, identity.node_id)
        self.heard: list[bytes] = []
        """What its own bootstrap was handed on."""
        self.is_strict = False
        """Whether it lets nobody join."""
        node: Any = SimpleNamespace(
            bootstrap=SimpleNamespace(on_frame=lambda link, body: self.heard.append(body)),
            boundary=SimpleNamespace(
                is_own=lambda link, who: link.remote.node_id == who.node_id,
                may_join=lambda link, who: not self.is_strict,
            ),
            control=SimpleNamespace(machine=machine),
            control_group=SimpleNamespace(
                group=ManualGroup(0, ManualCore(identity.key, [identity.key])),
                leader=lambda: leader,
                propose=world.proposed.append,
            ),
            links=self.links,
        )
        node.control_group.group.core.leader = (
            world.at[leader].identity.key if leader in world.at else identity.key
        )
        self.admission = Admission(node)

    def take(self, link: Any, kind: int, body: bytes) -> None:
        if kind == frames.FOUNDING:
            self.admission.on_founding(link, body)
        else:
            self.admission.on_join(link, body)


class ArrivalWorld(World[Frame]):
    """All of them, and what members proposed."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, Newcomer | Member] = {}
        self.proposed: list[bytes] = []
        self.machine = ControlMachine()

    def receive(self, sender: str, to: str, message: Frame) -> None:
        self.at[to].take(Link(self, to, sender), *message)

    def linked(self, name: str) -> list[str]:
        """Return whom a process has a link with, whoever dialled."""
        return [other for other in self.at if other != name and not self.network.is_cut(name, other)]

    def newcomer(self, name: str, seeds: str, needed: int = 2, incarnation: str = "1") -> Newcomer:
        """Add a process with these seeds; those it has dialled, and begins when its `bootstrap` does."""
        policy = Policy(tuple(f"{seed}:1" for seed in seeds), needed, LISTEN_NS)
        newcomer = Newcomer(self, Identity(name, incarnation, name, 1), policy)
        newcomer.links.dialled = dict.fromkeys(seeds)
        self.at[name] = newcomer
        return newcomer

    def members(self, *names: str) -> None:
        """Add a cluster that was founded by these; the first leads the control group."""
        identities = [Identity(name, "1", name, 1) for name in names]
        self.machine.apply(pack([FOUND, document_of("f", identities, GENERATION)]))
        for identity in identities:
            self.at[identity.node_id] = Member(self, identity, self.machine, names[0])
