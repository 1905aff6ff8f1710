"""What contract tests put at the ends of links and connections: recorders that can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from casty import runtime
from casty.address import NodeAddress
from casty.config import Settings
from casty.ports import Link, Listener
from casty.secret import Secrets
from casty.tls import Config
from casty.transport.acceptor import Acceptor
from casty.transport.connection import Connection
from casty.transport.output_batch import OutputBatch
from casty.transport.peers import Peer
from casty.wire.framing import FrameBuffer
from casty.wire.hello import Hello


class End:
    """One end of a link: everything it heard."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.data = bytearray()
        self.reads = 0
        self.losses: list[BaseException | None] = []
        self._changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        assert data, "never empty"
        assert not self.losses, "nothing after the end"
        self.data += data
        self.reads += 1
        self._changed.set()

    def link_lost(self, reason: BaseException | None) -> None:
        self.losses.append(reason)
        self._changed.set()

    async def until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            self._changed.clear()
            await self._changed.wait()

    async def received(self, size: int) -> bytes:
        """Wait for so many bytes in all and return them."""
        await self.until(lambda: len(self.data) >= size)
        return bytes(self.data)

    async def lost(self) -> BaseException | None:
        """Wait for the end and return its reason."""
        await self.until(lambda: bool(self.losses))
        return self.losses[0]

    async def frames(self, count: int) -> list[tuple[int, bytes]]:
        """Wait for so many frames in all and return them."""
        await self.until(lambda: len(FrameBuffer(2**24).feed(bytes(self.data))) >= count)
        return FrameBuffer(2**24).feed(bytes(self.data))


class Listening:
    """A listener and the ends that it took."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[End] = asyncio.Queue()
        self.listener: Listener | None = None

    async def start(self, host: str, tls: Config | None) -> tuple[str, int]:
        self.listener = await runtime.current().transport.listen(host, 0, self.take, tls=tls)
        return self.listener.address

    def take(self, link: Link) -> End:
        end = End(link)
        self.ends.put_nowait(end)
        return end


async def dial(address: tuple[str, int], tls: Config | None) -> End:
    """Make one link with an `End`."""
    link_ends: list[End] = []

    def make(link: Link) -> End:
        link_ends.append(End(link))
        return link_ends[0]

    link = await runtime.current().transport.dial(*address, make, tls=tls)
    assert link_ends[0].link is link
    return link_ends[0]


class Side:
    """A process: records what its connections say, echoes frames of kind 40, refuses those of kind 41."""

    def __init__(self, node_id: str, settings: Settings, role: str = "node", cluster: str = "shop") -> None:
        self.node_id = node_id
        self.settings = settings
        self.role = role
        self.cluster = cluster
        self.opened: list[Connection] = []
        self.closed: list[tuple[Connection, str]] = []
        self.frames: list[tuple[int, bytes]] = []
        self.output = OutputBatch(runtime.current())
        self.versions = (1, 1)
        self.objection: str | None = None
        self.secrets: Secrets | None = None
        self.host: str | None = None
        """Where it says that it is reached, when that is not where it listens."""
        self.acceptor: Acceptor | None = None
        self._changed = asyncio.Event()

    def hello(self) -> Hello:
        host, port = ("127.0.0.1", 1) if self.acceptor is None else self.acceptor.address
        hello = Hello.of_node(
            cluster=self.cluster,
            node_id=self.node_id,
            incarnation=f"{self.node_id}-1",
            address=NodeAddress(self.host or host, port),
            settings=self.settings,
        )
        return hello._replace(role=self.role, versions=self.versions)

    async def listen(self, host: str, tls: Config | None) -> tuple[str, int]:
        self.acceptor = Acceptor(
            runtime.current(), self.hello, self.settings, self, self.output, tls,
            check=lambda hello, host: self.objection, welcome_extra=lambda: {"ttl": 15}, secrets=self.secrets,
        )  # fmt: skip
        await self.acceptor.start(host, 0)
        return self.acceptor.address

    def dial(self, address: tuple[str, int], tls: Config | None) -> Peer:
        return Peer(
            runtime.current(),
            address,
            self.hello,
            self.settings,
            self,
            self.output,
            tls,
            secrets=self.secrets,
        )

    # -- ConnectionHandler

    def on_open(self, connection: Connection) -> None:
        self.opened.append(connection)
        self._changed.set()

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        self.frames.append((kind, body))
        self._changed.set()
        if kind == 40:
            assert connection.send(42, body)
        if kind == 41:
            raise runtime_error(body)

    def on_closed(self, connection: Connection, reason: str) -> None:
        self.closed.append((connection, reason))
        self._changed.set()

    async def until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            self._changed.clear()
            await self._changed.wait()


def runtime_error(body: bytes) -> Exception:
    """Return what a handler raises for bytes that it cannot use."""
    from casty.errors import RemoteProtocolError

    return RemoteProtocolError(f"expected something else, found {body!r}")
