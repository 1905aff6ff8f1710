"""Takes links: bounds the ones that say nothing, judges the hello, welcomes or refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable

from casty.complaint import Complaint
from casty.config import SECOND_NS, Settings
from casty.errors import RemoteProtocolError
from casty.ports import Link, LinkHandler, Listener, Runtime
from casty.secret import Secrets
from casty.tls import Config
from casty.transport.connection import Connection, ConnectionHandler, LinkFailed
from casty.transport.inbound import InboundBytes
from casty.transport.intake import Intake
from casty.transport.output_batch import OutputBatch
from casty.transport.proving import Challenged, refusal_without_proof
from casty.wire import frames
from casty.wire.hello import LATE, NOT_NOW, Hello, Refusal, Welcome, agreed_version, judge
from casty.wire.pack import Plain

__all__ = ["Acceptor"]

log = logging.getLogger("casty.transport")

_MAX_TEXT_CHARS = 1000

COMPLAINT_PAUSE_NS = 10 * SECOND_NS
"""The shortest time between two lines that say that clients are refused."""


class Acceptor:
    """The listening side of one process.

    Parameters
    ----------
    identity
        Who this process is, asked at each handshake.
    handler
        Hears every connection whose handshake succeeded.
    check
        The owner's own reason to refuse a hello that came from a host, as text; None takes it.
    welcome_extra
        What newcomers are told; it arrives as `Connection.welcome_extra` at the dialler.
    is_member
        Whether a link has the budget of a member; None: whoever says that it is a node.

    Attributes
    ----------
    welcomed, refused, dropped
        How many handshakes succeeded, were refused, and how many silent links gave way to newer ones.
    """

    def __init__(
        self,
        runtime: Runtime,
        identity: Callable[[], Hello],
        settings: Settings,
        handler: ConnectionHandler,
        output: OutputBatch,
        tls: Config | None = None,
        *,
        check: Callable[[Hello, str], str | None] | None = None,
        welcome_extra: Callable[[], dict[str, Plain]] | None = None,
        is_member: Callable[[Connection], bool] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._runtime = runtime
        self._identity = identity
        self._settings = settings
        self._handler = handler
        self._output = output
        self._tls = tls
        self._check = check
        self._welcome_extra = welcome_extra
        self._secrets = secrets
        self._listener: Listener | None = None
        self._half_open: dict[Connection, Challenged | None] = {}
        """Links whose handshake is not over, and what was asked of those that have to prove a secret."""
        self.open_links: dict[Connection, None] = {}
        """Those past the handshake, until they are gone."""
        kept_back = _kept_back(runtime.descriptors)
        self._max_half_open = min(settings.max_half_open_links, kept_back // 2)
        self._max_clients = settings.max_clients or runtime.descriptors - kept_back
        self._clients = 0
        self._complaint = Complaint(runtime.clock, log, COMPLAINT_PAUSE_NS)
        self._secret_complaint = Complaint(runtime.clock, log, COMPLAINT_PAUSE_NS)
        self.inbound = InboundBytes(settings.max_inbound_bytes)
        self.intake = Intake(runtime.clock, is_member or _is_node)
        self._is_closed = False
        self.welcomed = 0
        self.refused = 0
        self.dropped = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the port is the real one when 0 was asked for."""
        assert self._listener is not None, "start first"
        return self._listener.address

    @property
    def half_open_links(self) -> int:
        """How many links have not said hello yet."""
        return len(self._half_open)

    @property
    def buffered_bytes(self) -> int:
        """What the links that it took have not handed to the network yet, and their unfinished input."""
        return self.inbound.total_bytes + sum(connection.buffered_bytes for connection in self.open_links)

    async def start(self, host: str, port: int) -> None:
        """Listen; raises `OSError` when the address cannot be bound."""
        self._listener = await self._runtime.transport.listen(host, port, self._on_link, tls=self._tls)

    async def close(self) -> None:
        """Take no more links and close those there are."""
        self._is_closed = True
        if self._listener is not None:
            await self._listener.close()
        for connection in [*self._half_open, *self.open_links]:
            connection.close("this end is closing")

    def _on_link(self, link: Link) -> LinkHandler:
        connection = Connection(
            self._runtime, self._settings, self._handler, self._output, link, self, is_dialled=False,
            inbound=self.inbound, intake=self.intake,
        )  # fmt: skip
        if self._is_closed:
            connection.abort("this end is closing")
            return connection
        if len(self._half_open) >= self._max_half_open:
            self.dropped += 1
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            oldest.abort(f"dropped: more than {self._max_half_open} links without a hello")
        self._half_open[connection] = None
        connection.begin()
        return connection

    # -- the acceptor's half of the handshake

    def begin(self, connection: Connection) -> None:
        """The dialler speaks first."""

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Judge the hello, or the proof that it was answered by."""
        challenged = self._half_open[connection]
        if challenged is not None:
            if kind != frames.PROOF:
                raise RemoteProtocolError(f"expected a proof, found a frame of kind {kind}")
            self._decide(
                connection, challenged.theirs, challenged.mine, challenged.refusal(body), challenged.proof
            )
            return
        if kind != frames.HELLO:
            raise RemoteProtocolError(f"expected a hello first, found a frame of kind {kind}")
        theirs, mine = Hello.decode(body), self._identity()
        refusal = judge(theirs, mine) or refusal_without_proof(self._secrets, theirs, mine)
        if refusal is None and self._secrets is not None:
            challenged = Challenged(self._secrets, self._runtime.entropy, body, theirs, mine)
            self._half_open[connection] = challenged
            connection.greet(frames.CHALLENGE, challenged.challenge)
            return
        self._decide(connection, theirs, mine, refusal, _no_proof)

    def _decide(
        self,
        connection: Connection,
        theirs: Hello,
        mine: Hello,
        refusal: Refusal | None,
        proof: Callable[[], bytes],
    ) -> None:
        """Welcome or refuse a dialler, who has proved whatever it has to."""
        if refusal is not None and refusal.kind == "secret":
            self._secret_complaint.say(f"a link from {connection.peer[0]} is refused: {refusal.text}")
        if refusal is None and theirs.role == "client" and self._clients >= self._max_clients:
            refusal = Refusal("links", self._full_text(mine))
        if refusal is None and theirs.role == "node" and not connection.proves(theirs.host):
            refusal = Refusal("certificate", _unproved(theirs, mine))
        if refusal is None and self._check is not None:
            text = self._check(theirs, connection.peer[0])
            refusal = None if text is None else Refusal(NOT_NOW, text)
        if refusal is not None:
            self._refuse(connection, refusal)
            if self._runtime.observe:
                self._runtime.observe(LinkFailed(theirs.node_id, refusal.text))
            connection.close(f"refused: {refusal.text}")
            return
        version = agreed_version(theirs, mine)
        assert version is not None, "judged above"
        extra = {} if self._welcome_extra is None else self._welcome_extra()
        connection.greet(frames.WELCOME, Welcome(version, mine, extra, proof()).encode())
        del self._half_open[connection]
        self.open_links[connection] = None
        self._clients += theirs.role == "client"
        self.welcomed += 1
        connection.opened(theirs, {}, min(mine.max_frame_bytes, theirs.max_frame_bytes))

    def failed(self, connection: Connection, reason: str) -> None:
        """Say why, before the link goes."""
        self._refuse(connection, Refusal("protocol", reason))

    def late(self, connection: Connection, reason: str) -> None:
        """Say so, before the link goes; the dialler dials again."""
        self._refuse(connection, Refusal(LATE, reason))

    def ended(self, connection: Connection, reason: str) -> None:
        """Forget it."""
        del reason
        self._half_open.pop(connection, None)
        if connection in self.open_links:
            del self.open_links[connection]
            self._clients -= connection.remote.role == "client"

    def _full_text(self, mine: Hello) -> str:
        text = (
            f"node {mine.node_id} serves {self._clients} clients already, and keeps the rest of its descriptors for "
            "members: use another node, raise the limit of open files, or set max_clients"
        )
        self._complaint.say(f"clients are refused: {text}")
        return text

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        self.refused += 1
        connection.greet(frames.REFUSED, refusal._replace(text=refusal.text[:_MAX_TEXT_CHARS]).encode())


def _no_proof() -> bytes:
    return b""


def _unproved(theirs: Hello, mine: Hello) -> str:
    return (
        f"node {theirs.node_id} says that it is reached at {theirs.host!r}, and showed node {mine.node_id} no "
        "certificate that names this host: its client_context has to have one that does, and server_context has to "
        "ask for certificates"
    )


def _is_node(connection: Connection) -> bool:
    return connection.remote.role == "node"


def _kept_back(descriptors: int) -> int:
    """Return how many descriptors are not for clients: members in both directions, status, logs, the loop's own."""
    return min(max(32, descriptors // 16), descriptors // 2, 256)
