"""Where a node listens, and its half of each handshake, before the node is complete as well as afterwards.

States::

    closed --listen--> starting --serve--> serving

The port is part of what a node is called by, so the process listens before anything else is made. While it starts, a
hello is refused for now, and its own hello (it may dial already) says of no cluster: what its disk has is not read yet.
From `serve` on the node answers.
"""

from __future__ import annotations

from typing import Protocol

from casty.address import NodeAddress
from casty.cluster.authority import PEER
from casty.cluster.control.replica import ControlReplica
from casty.cluster.node.address_check import check_reach, warn_if_open
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.options import NodeOptions
from casty.cluster.node.succession import Succession
from casty.cluster.node.told_settings import told_settings
from casty.ports import Runtime
from casty.transport.acceptor import Acceptor
from casty.transport.connection import Connection
from casty.transport.output_batch import OutputBatch
from casty.wire.hello import Hello

__all__ = ["Entrance"]


class Answering(Protocol):
    """The node that answers; see `Node`."""

    is_stopping: bool

    @property
    def control(self) -> ControlReplica:
        """What it knows of the cluster."""
        ...

    @property
    def bootstrap(self) -> Bootstrap:
        """How it becomes part of one."""
        ...

    @property
    def succession(self) -> Succession:
        """Generations before and after its own."""
        ...

    @property
    def boundary(self) -> Boundary:
        """The judge at its links."""
        ...

    def on_open(self, connection: Connection) -> None:
        """A handshake succeeded."""

    def on_closed(self, connection: Connection, reason: str) -> None:
        """A connection that was open ended."""


class Entrance:
    """The listening end of one process.

    Parameters
    ----------
    options
        What the user asked for, with the host that others dial.
    runtime
        The ports.
    incarnation
        Which process under its node id this is.
    output
        The process's output batch.

    Attributes
    ----------
    acceptor
        Takes the links.
    address, node_id
        Where others reach the process, and what it is called; with port 0, final once it listens.
    """

    def __init__(self, options: NodeOptions, runtime: Runtime, incarnation: str, output: OutputBatch) -> None:
        self._options = options
        self._runtime = runtime
        self.incarnation = incarnation
        self.output = output
        self.address = NodeAddress(options.host, options.port)
        self._node: Answering | None = None
        """None until the node serves. Then never None again: a node that has stopped closes the acceptor."""
        self.acceptor = Acceptor(
            runtime, self.hello, options.settings, self, output, options.tls,
            check=self._refuse, welcome_extra=self._welcome, is_member=self._is_member, secrets=options.secrets,
        )  # fmt: skip

    @property
    def node_id(self) -> str:
        """What the user called the node, else its address."""
        return self._options.node_id or str(self.address)

    async def listen(self) -> None:
        """Listen, and say what is wrong with the address; raises `OSError` when it cannot be bound."""
        options = self._options
        listens_on = options.bind_host or options.host
        await self.acceptor.start(listens_on, options.port)
        self.address = NodeAddress(options.host, self.acceptor.address[1])
        is_guarded = options.tls is not None or options.secrets is not None
        warn_if_open(self.node_id, self.acceptor.address, is_guarded=is_guarded)
        try:
            await check_reach(self._runtime, self.node_id, self.address, listens_on, options.tls)
        except BaseException:
            await self.acceptor.close()
            raise

    def serve(self, node: Answering) -> None:
        """From now on the node answers."""
        assert self._node is None, "it serves once"
        self._node = node

    @property
    def is_serving(self) -> bool:
        """Whether hellos are judged by the node."""
        return self._node is not None

    def hello(self) -> Hello:
        """Return what this process says of itself, to whoever it dials as well."""
        node = self._node
        return Hello.of_node(
            cluster=self._options.name, node_id=self.node_id, incarnation=self.incarnation,
            address=self.address, settings=self._options.settings,
            generation=0 if node is None else max(node.control.machine.generation, node.bootstrap.heard_generation),
            cluster_id="" if node is None else node.bootstrap.cluster_id,
        )  # fmt: skip

    def _refuse(self, hello: Hello, host: str) -> str | None:
        node = self._node
        if node is None:
            return f"node {self.node_id} is starting; dial it again"
        if node.succession.meets(hello):
            return None  # it is told by the welcome
        if node.is_stopping and hello.role != "node":
            return f"node {self.node_id} is stopping; use another contact point"
        return node.boundary.refusal(hello, host)

    def _welcome(self) -> dict[str, object]:
        machine = self._serving().control.machine
        former = [list(row) for row in machine.former]
        known = {"generation": machine.generation, "cluster_id": machine.cluster_id, "former": former}
        return {**known, **told_settings(self._options.settings)}

    def _is_member(self, link: Connection) -> bool:
        return self._node is not None and self._node.boundary.role_of(link) >= PEER

    def _serving(self) -> Answering:
        assert self._node is not None, "whoever comes before is refused"
        return self._node

    # -- the `ConnectionHandler` of the acceptor: only what was welcomed gets here

    def on_open(self, connection: Connection) -> None:
        """A handshake succeeded."""
        self._serving().on_open(connection)

    def on_closed(self, connection: Connection, reason: str) -> None:
        """A connection that was open ended."""
        self._serving().on_closed(connection, reason)

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Dispatch one frame; raises `RemoteProtocolError` for a kind that the role may not send."""
        self._serving().boundary.on_frame(connection, kind, body)
