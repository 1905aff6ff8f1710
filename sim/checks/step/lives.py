"""Which actors lived when, in true time, and what the cluster may have believed of their processes meanwhile.

Fed by the workload, which says what it starts, and by the trace: ends of processes, judgements, links.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from casty.address import node_id_of
from casty.events import LinkDown, LinkUp, MemberChanged, TopologyChanged

from ...kernel.events import Crashed, FaultBegan, FaultEnded, Paused, Resumed, Stopped
from ...plans.fault_kinds import DEATHS, LASTING
from .reach import Reach

if TYPE_CHECKING:
    from casty.actor.cell import Cell
    from casty.actor.ref import ActorRef

    from ...kernel.trace import TraceEvent
    from ...world.process import Process
    from ...world.world import World

__all__ = ["Life", "Lives"]

_JUDGED = ("down", "removed")


class Life:
    """One life of an actor: from its spawn until its name is free, or its process is gone.

    Parameters
    ----------
    label
        Names it in the run, and nothing else.
    process
        Where it lives, in the present incarnation.
    path
        Where it is found; others may live there before and after it.
    ref
        Its own reference.
    began_ns
        When it began.
    """

    __slots__ = (
        "began_ns",
        "busy_ns",
        "cell",
        "free_ns",
        "is_stuck",
        "label",
        "ordinal",
        "parent",
        "path",
        "process",
        "ref",
        "stopped_ns",
    )

    def __init__(self, label: str, process: Process, path: str, ref: ActorRef[Any], began_ns: int) -> None:
        self.label = label
        self.process = process
        self.ordinal = process.incarnation.ordinal
        self.path = path
        self.ref = ref
        self.began_ns = began_ns
        self.stopped_ns: int | None = None
        """When it stopped by itself, or was stopped, in a process that went on."""
        self.parent: Life | None = None
        self.cell: Cell | None = None
        """What runs it."""
        self.is_stuck = False
        """Its handler takes its time, or waits for nothing: until it ends nothing is heard."""
        self.busy_ns = began_ns
        """Since when it did one thing after the other: what it reads now came no earlier."""
        self.free_ns = began_ns
        """When it was done with the last of these."""

    @property
    def home(self) -> tuple[str, int]:
        """Its process: name and incarnation."""
        return self.process.name, self.ordinal

    def reads(self, now_ns: int) -> None:
        """It begins with a message: one that waited, or that found it idle."""
        if now_ns > self.free_ns:
            self.busy_ns = now_ns

    @property
    def is_over(self) -> bool:
        """Whether it ended, for whatever reason."""
        process = self.process
        return self.stopped_ns is not None or not (
            process.is_up and process.incarnation.ordinal == self.ordinal
        )

    @property
    def is_deaf(self) -> bool:
        """Whether it hears nothing now, or ever again: it is over, at something, or stopping."""
        return self.is_over or self.is_stuck or (self.cell is not None and self.cell.is_stopping)

    def __str__(self) -> str:
        return self.label


class Lives:
    """All lives of one run, and what happened to their processes.

    Parameters
    ----------
    world
        Where they live.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: list[Life] = []
        """In the order of their births; a run has some hundred."""
        self._present: dict[tuple[str, int, str], Life] = {}
        self._born: dict[str, int] = {}
        self._gone_ns: dict[tuple[str, int], int] = {}
        self._judged: dict[str, list[tuple[int, str, bool]]] = {}
        """By node: when somebody took it for lost, or no longer, and who."""
        self._given_up: dict[str, dict[str, None]] = {}
        """By node or client, whom it takes for lost at present."""
        self._lost_in: dict[tuple[int, int], list[str]] = {}
        """By generation and version of a topology, who is lost as it says."""
        self._reach = Reach()
        self._held: dict[str, tuple[int, int]] = {}
        """By process, from when to when it was held the last time."""
        self._clients: dict[tuple[str, int], tuple[str, int]] = {}
        """By process, how the cluster knows it, and since when it runs."""
        self._harm: dict[tuple[str, tuple[str, ...]], int] = {}
        """Faults that last at present, by kind and targets."""
        self._harmed_ns: dict[str, int] = {}
        self.on_stop: Callable[[Life], None] = _nothing
        world.trace.subscribe(self._heard)

    # -- what the workload says

    def began(self, process: Process, path: str, ref: ActorRef[Any]) -> Life:
        """An actor begins to live."""
        name = f"{process.incarnation.label}:{path}"
        self._born[name] = number = self._born.get(name, 0) + 1
        life = Life(f"{name}~{number}", process, path, ref, self._world.now_ns)
        self.all.append(life)
        self._present[process.name, life.ordinal, path] = life
        return life

    def stopped(self, process: Process, path: str) -> None:
        """The actor at a path is gone, and the path is free."""
        life = self._present.pop((process.name, process.incarnation.ordinal, path), None)
        if life is not None:
            life.stopped_ns = self._world.now_ns
            self.on_stop(life)

    def client_is(self, process: Process, client_id: str) -> None:
        """The cluster knows a client by this name."""
        self._clients[process.name, process.incarnation.ordinal] = (client_id, self._world.now_ns)

    # -- who lives

    def living(self, process: Process) -> list[Life]:
        """Return the lives of a process's present incarnation."""
        home = (process.name, process.incarnation.ordinal)
        return [life for key, life in self._present.items() if key[:2] == home and not life.is_over]

    def at(self, process: Process, path: str) -> Life | None:
        """Return who lives at a path of a process now."""
        life = self._present.get((process.name, process.incarnation.ordinal, path))
        return None if life is None or life.is_over else life

    def ended_ns(self, life: Life) -> int | None:
        """Return when a life ended; None while it lasts."""
        if life.stopped_ns is not None:
            return life.stopped_ns
        return self._gone_ns.get(life.home) if life.is_over else None

    # -- what others may believe

    def was_judged(self, life: Life, since_ns: int) -> bool:
        """Whether the life's process was given up after a time, or was, for somebody, when that time came.

        Whoever was held, or cut off, knows what was judged when it heard of the cluster last.
        """
        given_up: dict[str, None] = {}
        for at_ns, observer, is_given_up in self._judged.get(life.process.name, []):
            if is_given_up and at_ns >= since_ns:
                return True
            if is_given_up:
                given_up[observer] = None
            elif at_ns < since_ns:
                given_up.pop(observer, None)
        return bool(given_up)

    def was_out_of_reach(self, life: Life, watcher: Life, since_ns: int, grace_ns: int) -> bool:
        """Whether nobody may have heard of a client for so long, as far as whoever judges for the watcher could know.

        A node judges by itself, and what it tells an actor is read when that is free. For a client any node may have
        judged since it watches: what that tells is owed until there is a way to the client.
        """
        client, now_ns, observer = self._clients.get(life.home), self._world.now_ns, watcher.process.name
        if client is None:
            return False
        client_id, began_ns = client
        nodes = [name for name in self._world.processes if name.startswith("node-")]
        if observer in nodes:
            since_ns = max(since_ns, self._told_ns(watcher))
        span_ns = (max(since_ns, began_ns + grace_ns), now_ns)
        return any(
            self._reach.was_out(client_id, name, nodes, grace_ns, span_ns)
            for name in ([observer] if observer in nodes else nodes)
        )

    def _told_ns(self, reader: Life) -> int:
        """Return when the message that an actor reads now came, at the earliest."""
        began_ns, ended_ns = self._held.get(reader.process.name, (0, 0))
        is_held_up = ended_ns == reader.busy_ns  # between what came and its reader
        return began_ns if is_held_up else reader.busy_ns

    def linked_ns(self, source: str, node: str) -> int:
        """Return when the newest link of a process to a node came up, in either direction; 0 for never."""
        return self._reach.came_up_ns(source, node)

    def unlinked(self) -> list[str]:
        """Return which running processes are not linked as they should be.

        Each node dials every other one, and each client every node. All links are open at both ends, know who is at the
        other one, and are sound: one that died silently is there until an end misses an answer.
        """
        names = [name for name in self._world.processes if self._is_running(name)]
        nodes = [name for name in names if name.startswith("node-")]
        others = [name for name in names if name.startswith("client-")]
        pairs = [*combinations(nodes, 2), *product(others, nodes)]
        return [f"{one} and {other}" for one, other in pairs if not self._is_linked(one, other)]

    def _is_linked(self, one: str, node: str) -> bool:
        process = self._world.processes[one]
        known_as, _ = self._clients.get((one, process.incarnation.ordinal), (one, 0))
        count = 2 if known_as == one else 1  # or only one of two nodes has dialled
        links = self._world.network.links_between(one, node)
        ends = [end for link in links for end in (link, link.remote)]
        counted = (len(links), self._reach.count(one, node), self._reach.count(node, known_as))
        return counted == (count, count, count) and not any(end.is_silent or end.is_closed for end in ends)

    # -- what was harmed

    def is_calm(self, *names: str, within_ns: int) -> bool:
        """Whether no fault concerned these processes for so long; all of them without names."""
        concerned = names or tuple(self._world.processes)
        since_ns = self._world.now_ns - within_ns
        harmed = {name: None for (_, targets), count in self._harm.items() if count for name in targets}
        return not any(
            name in harmed or self._harmed_ns.get(name, -1) > since_ns or not self._is_running(name)
            for name in concerned
        )

    def _is_running(self, name: str) -> bool:
        process = self._world.processes[name]
        return process.is_up and not process.is_paused

    # -- the trace

    def _heard(self, entry: TraceEvent) -> None:
        event = entry.event
        match event:
            case LinkUp(peer):
                self._reach.changed(entry.node, _name_of(peer), 1, entry.t_ns)
            case LinkDown(peer, _):
                self._reach.changed(entry.node, _name_of(peer), -1, entry.t_ns)
            case MemberChanged(node_id, status):
                self._judges(entry.node, node_id, status in _JUDGED)
            case TopologyChanged(generation, version):
                self._follows(entry.node, (generation, version))
            case FaultBegan(kind, targets):
                is_lasting = kind in LASTING or kind in DEATHS
                self._harmed(kind, targets, int(is_lasting))
            case FaultEnded(kind, targets):
                self._harmed(kind, targets, -1)
            case Paused():
                self._held[entry.node] = (entry.t_ns, -1)
            case Resumed():
                self._held[entry.node] = (self._held[entry.node][0], entry.t_ns)
            case Crashed() | Stopped():
                self._gone(entry.node)
            case _:
                return

    def _judges(self, observer: str, node_id: str, is_lost: bool) -> None:
        self._judged.setdefault(node_id, []).append((self._world.now_ns, observer, is_lost))
        lost = self._given_up.setdefault(observer, {})
        if is_lost:
            lost[node_id] = None
        else:
            lost.pop(node_id, None)

    def _follows(self, observer: str, order: tuple[int, int]) -> None:
        """A node says what a topology says of its members before it says that it has it; a client does not."""
        if observer.startswith("node-"):
            self._lost_in[order] = list(self._given_up.get(observer, ()))
        elif order in self._lost_in:
            lost = self._lost_in[order]
            for node_id in dict.fromkeys([*lost, *self._given_up.get(observer, ())]):
                self._judges(observer, node_id, node_id in lost)

    def _harmed(self, kind: str, targets: tuple[str, ...], change: int) -> None:
        self._harm[kind, targets] = max(0, self._harm.get((kind, targets), 0) + change)
        self._harmed_ns |= dict.fromkeys(targets, self._world.now_ns)

    def _gone(self, name: str) -> None:
        process = self._world.processes[name]
        self._gone_ns[name, process.incarnation.ordinal] = self._world.now_ns
        self._harmed_ns[name] = self._world.now_ns
        for node_id in list(self._given_up.pop(name, ())):
            self._judges(name, node_id, is_lost=False)  # it judges nobody any more
        self._reach.gone(name, self._world.now_ns)


def _name_of(peer: str) -> str:
    """Return the id in a peer key; an event has either."""
    return node_id_of(peer) if "#" in peer else peer


def _nothing(life: Life) -> None:
    del life
