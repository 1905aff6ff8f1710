"""Whether another generation took the place of this one: then this process serves nobody any more. One per process.

A recovered cluster (ADR 0046) names the clusters whose place it takes, its *former* ones. Processes of a former one may
come back: they were cut off, or somebody starts them. They end as soon as they meet a process of the recovered one:

- A node says in its hello of which cluster it is. Members of a recovered one dial, besides each other, where members of
  the former ones listened. Who is dialled so dials back, as it would anybody who asks to join, and judges by the answer
  to its own dial only: what a stranger says of itself moves nobody.
- The answer names the former clusters. Who is of one of them ends: its groups stop in the same turn, its disk notes
  that it is out of use, and the process closes.
- Two operators may recover the same cluster, on two sides of a cut. Both clusters name it as former, so of these the
  one with the lower (generation, cluster id) ends.

Lost, doubled or late: dials are repeated for as long as both live; the verdict depends on what never changes. A node
that has not heard of its own cluster's former ones yet (it was restarted) lets those links end that know too little
when it hears of them, and they are made anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from casty.address import NodeAddress
from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.replica import ControlReplica
from casty.cluster.multiraft.host import Host
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.links import Links
from casty.complaint import one_line
from casty.errors import Superseded
from casty.limits import MAX_GENERATION
from casty.wire.hello import Hello

__all__ = ["Cluster", "Succession", "successor_of"]

log = logging.getLogger("casty.node")


class Cluster(NamedTuple):
    """Which cluster: no two have the same id, and a recovered one has a higher generation than all it knows of."""

    id: str
    generation: int


class Disk(Protocol):
    """The node's disk, if it has one."""

    def superseded(self, successor: Cluster) -> None:
        """Note that the directory is out of use."""


class Succeeded(Protocol):
    """The node; see `Node`."""

    node_id: str
    missing: list[str]
    """Why it does not serve, in words."""
    host: Host
    links: Links
    control: ControlReplica
    bootstrap: Bootstrap

    def give_up(self, reason: str) -> None:
        """Never serve again."""

    @property
    def disk(self) -> Disk | None:
        """Where it keeps its replicas."""


class Succession:
    """What one process knows of generations before and after its own.

    Parameters
    ----------
    node
        The process.
    on_ended
        Called once, in the turn in which it is found that the process's cluster is over.

    Attributes
    ----------
    successor
        Which cluster took the place of this process's; None while none did, and never another one than the first.
    """

    def __init__(self, node: Succeeded, on_ended: Callable[[], object]) -> None:
        self._node = node
        self._known: tuple[tuple[str, int], ...] = ()
        self.successor: Cluster | None = None
        self._on_ended = on_ended

    def check(self) -> None:
        """Raise `Superseded` where another cluster took the place of this process's."""
        if self.successor is not None:
            raise Superseded("; ".join(self._node.missing))

    def addresses(self, machine: ControlMachine) -> Iterator[NodeAddress]:
        """Return where members are, and where those of former clusters were."""
        for row in machine.members.values():
            yield NodeAddress(row.host, row.port)
        for host, port in machine.former_members:
            yield NodeAddress(host, port)

    def meets(self, hello: Hello) -> bool:
        """A node dials this one. Whether it is of a former cluster: it is let in, to be told so."""
        mine, theirs = self._node.bootstrap.cluster_id, hello.cluster_id
        if not mine or hello.role != "node" or theirs in ("", mine):
            return False
        if theirs in dict(self._node.control.machine.former):
            return True
        if hello.generation > self._node.control.machine.generation:
            self._node.links.want_guest(hello.address)
        return False

    def flaw(self, extra: Mapping[str, Any]) -> str | None:
        """Say that whoever answered a dial, by its welcome, is of a cluster that took this one's place; end then."""
        mine = Cluster(self._node.bootstrap.cluster_id, self._node.control.machine.generation)
        found = successor_of(mine, self._node.control.machine.former, extra)
        if found is None:
            return None
        text = f"cluster {mine.id} is over: {found.id}, generation {found.generation}, was recovered from it"
        if self.successor is None:
            self._end(found, text)
        return text

    def _end(self, successor: Cluster, text: str) -> None:
        node = self._node
        self.successor = successor
        node.host.close()
        node.give_up(text)
        if node.disk is not None:
            node.disk.superseded(successor)
        log.error(
            "%s ends: %s. What it has that the other lacks is given up; start it with an empty data directory",
            node.node_id, one_line(text),
        )  # fmt: skip
        self._on_ended()

    def follow(self, machine: ControlMachine) -> None:
        """The control state changed: links that were made before the former clusters were known are looked at anew."""
        if machine.former == self._known:
            return
        self._known = machine.former
        former = dict(machine.former)
        for link in list(self._node.links.inbound):
            if link.remote.cluster_id in former:
                link.close("its cluster is over; it is told when it dials again")
        for link in self._node.links.everyone():
            if link.is_dialled:
                self.flaw(link.welcome_extra)


def successor_of(
    mine: Cluster, former: tuple[tuple[str, int], ...], extra: Mapping[str, Any]
) -> Cluster | None:
    """Return the cluster that a welcome shows, if it took the place of mine. Pure.

    Parameters
    ----------
    mine, former
        Of which cluster this process is, and that one's former ones.
    extra
        What the welcome tells: ``cluster_id``, ``generation`` and ``former``; anything else is no proof.

    Examples
    --------
    >>> successor_of(Cluster("x", 1), (), {"cluster_id": "y", "generation": 2, "former": [["x", 1]]})
    Cluster(id='y', generation=2)
    >>> successor_of(Cluster("z", 3), (("x", 1),), {"cluster_id": "y", "generation": 2, "former": [["x", 1]]})
    """
    cluster_id, generation, rows = extra.get("cluster_id"), extra.get("generation"), extra.get("former")
    if not mine.id or cluster_id in ("", mine.id) or not isinstance(rows, list):
        return None
    if not isinstance(cluster_id, str) or type(generation) is not int or not 0 < generation <= MAX_GENERATION:
        return None
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2]
    named = [former_id for former_id, _ in pairs if isinstance(former_id, str)]
    found = Cluster(cluster_id, generation)
    if mine.id in named:
        return found
    is_kin = any(former_id in named for former_id, _ in former)
    return found if is_kin and (found.generation, found.id) > (mine.generation, mine.id) else None
