"""A process that speaks the wire by hand: it dials the nodes as a client or as a node, and sends what it forged.

Its links are made and end as those of any process: a node that closes one is dialled again. What it is answered it
does not read, except that a link is kept alive.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import TYPE_CHECKING

from casty.address import NodeAddress
from casty.config import Settings
from casty.errors import CastyError
from casty.transport.base import Link
from casty.wire import frames
from casty.wire.framing import FrameBuffer, frame
from casty.wire.hello import Hello

from .cluster import CLUSTER_NAME, NODE_PORT
from .forging import Forger

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .network import Network
    from .process import Process

__all__ = ["Rogue"]

OF_CLIENTS = (
    frames.REQUEST, frames.KEEPALIVE, frames.SUBSCRIBE, frames.STATUS, frames.ACTOR, frames.RELAY, frames.ENTITY,
    frames.ENTITY_REFUSED,
)  # fmt: skip
OF_NODES = (
    frames.CONSENSUS, frames.BEAT, frames.BEAT_ACK, frames.ROWS, frames.ROWS_ACK, frames.FOUNDING, frames.JOIN,
    frames.HINTS, frames.CLIENTS, frames.REQUEST, frames.REPLY, frames.RELAY, frames.ACTOR,
)  # fmt: skip
_KNOWN = (*OF_CLIENTS, *OF_NODES)
_HEADER = Struct(">IB")
_LENGTH_BYTES = 4
_PAUSE_NS = 20_000_000
_AT_ONCE = 3
_MILLISECOND_NS = 1_000_000
_LIMIT_BYTES = 1 << 26


class Rogue:
    """What runs in the process.

    Parameters
    ----------
    process
        Its process, whose name it has.
    network
        What frames are seen on.
    nodes
        Names of the nodes.
    """

    def __init__(self, process: Process, network: Network, nodes: list[str]) -> None:
        self._process = process
        self._runtime = process.runtime
        self._nodes = nodes
        self._ends: dict[str, _End] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._is_over = False
        self.sent: dict[int, int] = {}
        """Kind -> forged frames of it that were sent."""
        self.unreached = 0
        """How often a node was not there to be dialled."""
        self._forger = Forger(self._runtime.entropy.below, process.name)
        self._network = network
        network.watchers.append(self._seen)

    def begin(self) -> None:
        """Send from now on."""
        self._later()

    def end(self) -> None:
        """Send nothing more, and close the links."""
        self._is_over = True
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
        name = self._nodes[below("node", len(self._nodes))]
        end = self._ends.get(name)
        if end is None:
            if name not in self._dialling:
                self._dialling[name] = asyncio.get_running_loop().create_task(self._dial(name))
        elif end.is_open:
            for _ in range(1 + below("burst", _AT_ONCE)):
                self._send(end)
        self._later()

    def _send(self, end: _End) -> None:
        own = OF_NODES if end.is_node else OF_CLIENTS
        stray = self._runtime.entropy.below("stray", 40) == 0
        forged = self._forger.forge(_KNOWN if stray else own)
        if forged is not None:
            kind, body = forged
            self.sent[kind] = self.sent.get(kind, 0) + 1
            end.link.write(frame(kind, body))

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

    async def _dial(self, name: str) -> None:
        is_node = self._runtime.entropy.below("role", 4) == 0
        try:
            await self._runtime.transport.dial(
                name, NODE_PORT, lambda link: self._linked(name, link, is_node)
            )
        except OSError:
            self.unreached += 1  # down, or cut off: the next turn of this node tries again
        finally:
            self._dialling.pop(name, None)

    def _linked(self, name: str, link: Link, is_node: bool) -> _End:
        end = self._ends[name] = _End(self, name, link, is_node)
        address = NodeAddress(self._process.name, NODE_PORT)
        token = self._runtime.entropy.token("incarnation", 8).hex()
        if is_node:
            hello = Hello.of_node(
                cluster=CLUSTER_NAME, node_id=self._process.name, incarnation=token, address=address,
                settings=Settings(),
            )  # fmt: skip
        else:
            hello = Hello.of_client(
                cluster=CLUSTER_NAME, client_id=self._process.name, incarnation=token, address=address
            )
        link.write(frame(frames.HELLO, hello.encode()))
        return end

    def lost(self, name: str, end: _End) -> None:
        """A link is over."""
        if self._ends.get(name) is end:
            del self._ends[name]


class _End:
    """The rogue's end of one link."""

    def __init__(self, rogue: Rogue, name: str, link: Link, is_node: bool) -> None:
        self.link = link
        self.is_node = is_node
        self.is_open = False
        self._rogue = rogue
        self._name = name
        self._buffer = FrameBuffer(_LIMIT_BYTES)

    def data_received(self, data: bytes) -> None:
        """See that it was welcomed, and answer pings."""
        try:
            cut = self._buffer.feed(data)
        except CastyError:
            self.link.abort()
            return
        for kind, _ in cut:
            if kind == frames.WELCOME:
                self.is_open = True
            elif kind == frames.PING:
                self.link.write(frame(frames.PONG, b""))

    def link_lost(self, reason: BaseException | None) -> None:
        """Forget it."""
        del reason
        self._rogue.lost(self._name, self)
