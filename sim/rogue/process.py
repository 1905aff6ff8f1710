"""A process that speaks the wire by hand: it dials the nodes as a client or as a node, and sends what it forged.

Half of what it sends is recorded frames with something in them replaced (`forging.py`); the other half is aimed at what
is there at that moment (`cluster.py`, `actors.py`). It has a link to each node for each of its own guises,
and tries others now and then, which a sound node refuses. Its links are made and end as those of any process: a node
that closes one is dialled again. Of what it is answered it reads the numbers of its own sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from casty.errors import CastyError
from casty.ports import Link
from casty.wire import frames
from casty.wire.framing import FrameBuffer, frame

from ..world.clusters import NODE_PORT
from .actors import ActorAims
from .cluster import GatewayAims, NodeAims
from .forging import Forger
from .guise import KINDS, NAMESAKE, Aimed, Guise, guise_of

if TYPE_CHECKING:
    from ..kernel.incarnation import Incarnation
    from ..world.process import Process
    from .view import View

__all__ = ["OF_OPERATORS", "Rogue"]

OF_CLIENTS = (
    frames.REQUEST, frames.KEEPALIVE, frames.SUBSCRIBE, frames.STATUS, frames.ACTOR, frames.RELAY, frames.ENTITY,
    frames.ENTITY_REFUSED, frames.SENT, frames.SETTLED, frames.WATCH, frames.BUNDLE,
)  # fmt: skip
OF_NODES = (
    frames.CONSENSUS, frames.HEARTBEAT, frames.HEARTBEAT_ACK, frames.ROWS, frames.ROWS_ACK, frames.FOUNDING,
    frames.JOIN, frames.HINTS, frames.CLIENTS, frames.REQUEST, frames.REPLY, frames.RELAY, frames.ACTOR, frames.SENT,
    frames.SETTLED, frames.REGIONS, frames.WATCH, frames.REMOVED, frames.REMOVED_ACK, frames.BUNDLE,
)  # fmt: skip
OF_OPERATORS = (frames.COMMAND, frames.BACKUP, frames.SALVAGE)
"""What neither may send: it is sent rarely, and ends the link."""
_KNOWN = (*OF_CLIENTS, *OF_NODES, *OF_OPERATORS)
_HEADER = Struct(">IB")
_LENGTH_BYTES = 4
_PAUSE_NS = 20_000_000
_AT_ONCE = 3
_MILLISECOND_NS = 1_000_000
_LIMIT_BYTES = 1 << 26
_STRAY = 40
"""So rarely it sends what its guise may not, which ends its link."""


class Rogue:
    """What runs in the process.

    Parameters
    ----------
    process
        Its process, whose name it has.
    view
        What it knows of the others.
    nodes
        Names of the nodes.
    """

    def __init__(self, process: Process, view: View, nodes: list[str]) -> None:
        self._process = process
        self._runtime = process.runtime
        self._view = view
        self._nodes = nodes
        self._ends: dict[tuple[str, str], _End] = {}
        """By node and guise; a row goes with its link."""
        self._claimed = view.rogues[process.name]
        """Filled while it sends: a row per node and name."""
        self._dialling: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._is_over = False
        self.on_taken: Callable[[str, int], None] = _nothing
        """Told of a node, and of the kind of a frame that should have ended a client's link to it, and did not."""
        self.sent: dict[int, int] = {}
        """Kind -> forged frames of it that were sent."""
        self.unreached = 0
        """How often a node was not there to be dialled."""
        below = self._runtime.entropy.below
        self._incarnation = self._runtime.entropy.token("incarnation", 8).hex()
        self._forger = Forger(below, process.name)
        self._gateway = GatewayAims(view, below, process.name)
        anybody = (*self._gateway.aims, *ActorAims(view, below, nodes).aims)
        self._of_clients = anybody
        self._of_nodes = (*NodeAims(view, below, process.name, nodes).aims * 2, *anybody)
        self._network = process.world.network
        self._network.watchers.append(self._seen)

    def begin(self) -> None:
        """Send from now on."""
        self._later()

    def end(self) -> None:
        """Send nothing more, and close the links."""
        self._is_over = True
        self._claimed.clear()
        self._network.watchers.remove(self._seen)
        for end in self._ends.values():
            end.link.abort()
        for task in self._dialling.values():
            task.cancel()

    def _later(self) -> None:
        clock, below = self._runtime.clock, self._runtime.entropy.below
        clock.call_at(clock.now() + _MILLISECOND_NS + below("pause", _PAUSE_NS), self._act)

    def _act(self) -> None:
        if self._is_over:
            return
        below = self._runtime.entropy.below
        name, kind = self._nodes[below("node", len(self._nodes))], KINDS[below("guise", len(KINDS))]
        end = self._ends.get((name, kind))
        if end is None:
            if (name, kind) not in self._dialling:
                dialling = self._dial(name, kind)
                self._dialling[name, kind] = asyncio.get_running_loop().create_task(dialling)
        elif end.is_open:
            for _ in range(1 + below("burst", _AT_ONCE)):
                self._send(end)
            if kind == NAMESAKE:
                end.link.abort()  # that it is gone is what it says of its namesake
        self._later()

    def _send(self, end: _End) -> None:
        below, guise = self._runtime.entropy.below, end.guise
        made = self._aimed(end) if below("aimed", 2) else None
        if made is None:
            own = OF_NODES if guise.is_node else OF_CLIENTS
            made = self._forger.forge(_KNOWN if below("stray", _STRAY) == 0 else own)
        if made is not None:
            kind, body = made
            self.sent[kind] = self.sent.get(kind, 0) + 1
            end.link.write(frame(kind, body))
            if not guise.is_node and kind not in OF_CLIENTS and end.stray is None:
                # What a link carries is taken in order: whoever answers this has taken that as well.
                end.stray = kind
                end.link.write(frame(frames.PING, b""))

    def _aimed(self, end: _End) -> Aimed | None:
        below, guise = self._runtime.entropy.below, end.guise
        is_stray = below("stray-aim", _STRAY) == 0
        aims = self._of_nodes if guise.is_node or is_stray else self._of_clients
        return aims[below("aim", len(aims))](end.name, guise)

    def _seen(self, owner: Incarnation, data: bytes) -> None:
        """See the frames of one write: connections hand over whole ones."""
        if owner is self._process.incarnation:
            return
        at, end = 0, len(data)
        while at + _HEADER.size <= end:
            size, kind = _HEADER.unpack_from(data, at)
            after = at + _LENGTH_BYTES + size
            if kind in _KNOWN:
                self._forger.record(kind, data[at + _HEADER.size : after])
            at = after

    # -- links

    async def _dial(self, name: str, kind: str) -> None:
        below, own = self._runtime.entropy.below, self._process.name
        guise = guise_of(kind, own, self._incarnation, name, self._view, below)
        try:
            if guise is not None:
                dial = self._runtime.transport.dial
                await dial(name, NODE_PORT, lambda link: self._linked(name, link, guise))
        except OSError:
            self.unreached += 1  # down, or cut off: the next turn of this node tries again
        finally:
            self._dialling.pop((name, kind), None)

    def _linked(self, name: str, link: Link, guise: Guise) -> _End:
        end = self._ends[name, guise.kind] = _End(self, name, link, guise)
        self._claimed[name, guise.node_id] = None
        link.write(frame(frames.HELLO, guise.hello()))
        return end

    def replied(self, body: bytes) -> None:
        """Answers came."""
        self._gateway.replied(body)

    def lost(self, name: str, end: _End) -> None:
        """A link is over."""
        key = (name, end.guise.kind)
        if self._ends.get(key) is end:
            del self._ends[key]


def _nothing(name: str, kind: int) -> None:
    """Nobody wants to know."""


class _End:
    """The rogue's end of one link."""

    def __init__(self, rogue: Rogue, name: str, link: Link, guise: Guise) -> None:
        self.name = name
        self.link = link
        self.guise = guise
        self.is_open = False
        self.stray: int | None = None
        """The first kind that it sent and that is none of its guise, after which the link has to end."""
        self._rogue = rogue
        self._buffer = FrameBuffer(_LIMIT_BYTES)

    def data_received(self, data: bytes) -> None:
        """See that it was welcomed, answer pings, and hear the answers to its own calls."""
        try:
            cut = self._buffer.feed(data)
        except CastyError:
            self.link.abort()
            return
        for kind, body in cut:
            if kind == frames.WELCOME:
                self.is_open = True
            elif kind == frames.PING:
                self.link.write(frame(frames.PONG, b""))
            elif kind == frames.PONG and self.stray is not None:
                self._rogue.on_taken(self.name, self.stray)
            elif kind == frames.REPLY:
                self._rogue.replied(body)

    def link_lost(self, reason: BaseException | None) -> None:
        """Forget it."""
        del reason
        self._rogue.lost(self.name, self)
