"""Dialling: a `Peer` keeps one link to one address for as long as it is wanted, and never delays another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from casty.checks import shown
from casty.config import SECOND_NS, Settings
from casty.errors import RemoteProtocolError
from casty.ports import Link, LinkHandler, Runtime, Timer
from casty.secret import Secrets
from casty.tls import Config
from casty.transport.connection import Connection, ConnectionHandler
from casty.transport.output_batch import OutputBatch
from casty.transport.proving import Proving
from casty.wire import frames
from casty.wire.hello import PASSING, Hello, Refusal, Welcome, judge

__all__ = ["AddressMap", "Check", "Peer", "Peers"]

AddressMap = Callable[[tuple[str, int]], tuple[str, int]]
"""Where to dial instead of the address that a node is known by: tunnels, port forwards."""

Check = Callable[[Welcome, tuple[str, int]], str | None]
"""Says what the owner has against whoever answered at an address; None for nothing."""

CONNECT_TIMEOUT_S = 1.0
"""Longer than any round trip, shorter than what a caller notices when another node would answer."""

BACK_OFF_MIN_NS = 50_000_000
BACK_OFF_MAX_NS = 500_000_000
"""A lost node is found again within half a second; founding counts on it, see `control/formation.py`."""


class Peer:
    """One wanted link.

    Attributes
    ----------
    address
        Where it is known to listen; a change counts from the next dial on.
    connection
        The open connection, if there is one.
    last_refusal
        What the other end, or this one, found wrong with the last handshake; None after a good one, and after one
        that had no answer in time.
    is_refused_for_now
        Whether that refusal passes by itself: a node that is stopping, or that was paused.
    last_error
        Why the last dial brought no link; None after one that did.
    """

    def __init__(
        self,
        runtime: Runtime,
        address: tuple[str, int],
        identity: Callable[[], Hello],
        settings: Settings,
        handler: ConnectionHandler,
        output: OutputBatch,
        tls: Config | None = None,
        address_map: AddressMap | None = None,
        check: Check | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._runtime = runtime
        self._identity = identity
        self._settings = settings
        self._handler = handler
        self._output = output
        self._tls = tls
        self._address_map = address_map
        self._check = check
        self._secrets = secrets
        self._proving: Proving | None = None  # of the candidate
        self._back_off_ns = BACK_OFF_MIN_NS
        self._candidate: Connection | None = None  # dialled, handshake not over
        self._deadline: Timer | None = None
        self._task: asyncio.Task[Link] | None = None
        self._timer: Timer | None = None
        self._is_closed = False
        self.address = address
        self.connection: Connection | None = None
        self.last_refusal: str | None = None
        self.is_refused_for_now = False
        self.last_error: str | None = None
        self.map_error: Exception | None = None
        """What `address_map` raised the last time."""
        self._dial()

    def close(self, reason: str = "no longer wanted") -> None:
        """Stop dialling and close the link."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        for connection in (self._candidate, self.connection):
            if connection is not None:
                connection.close(reason)

    # -- dialling

    def _dial(self) -> None:
        self._timer = self.map_error = None
        host, port = self.address
        try:
            if self._address_map is not None:
                host, port = self._address_map((host, port))
        except Exception as error:  # it is the user's, and may know better the next time
            self.map_error = error
            self._give_up(f"address_map raised {shown(error, 200)}")
            return
        runtime = self._runtime
        dialling = runtime.transport.dial(host, port, self._on_link, tls=self._tls)
        self._task = asyncio.get_running_loop().create_task(dialling)
        self._task.add_done_callback(self._dialled)
        self._deadline = runtime.clock.call_at(
            runtime.clock.now() + int(CONNECT_TIMEOUT_S * SECOND_NS), self._task.cancel
        )

    def _on_link(self, link: Link) -> LinkHandler:
        connection = Connection(
            self._runtime, self._settings, self._handler, self._output, link, self, is_dialled=True
        )
        connection.dialled_at = self.address
        self._candidate = connection
        return connection

    def _dialled(self, task: asyncio.Task[Link]) -> None:
        self._task = None
        if self._deadline is not None:
            self._deadline.cancel()
        candidate = self._candidate
        if task.cancelled():
            self._give_up(f"no answer within {CONNECT_TIMEOUT_S} s")
        elif (error := task.exception()) is not None:
            self._give_up(str(error) or repr(error))
        elif self._is_closed and candidate is not None:
            candidate.close("no longer wanted")
        elif candidate is not None:
            candidate.begin()
        else:  # lost between its making and now
            self._dial_later()

    def _give_up(self, text: str) -> None:
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.abort(text)
        self.last_error = text
        self._dial_later()

    def _dial_later(self) -> None:
        if self._is_closed or self._timer is not None:
            return
        half_ns = self._back_off_ns // 2
        delay_ns = half_ns + self._runtime.entropy.below("dial", half_ns)
        self._back_off_ns = min(2 * self._back_off_ns, BACK_OFF_MAX_NS)
        self._timer = self._runtime.clock.call_at(self._runtime.clock.now() + delay_ns, self._dial)

    # -- the dialler's half of the handshake

    def begin(self, connection: Connection) -> None:
        """Say hello."""
        self.last_error = None
        self._proving = Proving(self._secrets, self._runtime.entropy, self._identity())
        connection.greet(frames.HELLO, self._proving.hello)

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Take the answer."""
        if kind == frames.REFUSED:
            refused = Refusal.decode(body)
            self.last_refusal, self.is_refused_for_now = refused.text, refused.kind in PASSING
            connection.close(f"refused: {self.last_refusal}")
            return
        proving = self._proving
        assert proving is not None, "nobody answers before the hello"
        if kind == frames.CHALLENGE:
            connection.greet(frames.PROOF, proving.answer(body))
            return
        if kind != frames.WELCOME:
            raise RemoteProtocolError(f"expected a welcome or a refusal, found a frame of kind {kind}")
        welcome = Welcome.decode(body)
        mine, theirs = self._identity(), welcome.hello
        text = self._flaw(connection, proving, welcome)
        if text is not None:
            raise RemoteProtocolError(text)
        self._candidate = self._proving = None
        self.connection = connection
        self.last_refusal = None
        self._back_off_ns = BACK_OFF_MIN_NS
        connection.opened(theirs, welcome.extra, min(mine.max_frame_bytes, theirs.max_frame_bytes))

    def _flaw(self, connection: Connection, proving: Proving, welcome: Welcome) -> str | None:
        """Say what keeps this end from linking with whoever welcomes it."""
        theirs = welcome.hello
        refusal = judge(theirs, proving.mine)
        if refusal is not None:
            return refusal.text
        if theirs.role != "node":
            return f"expected a node at {self.address}, found a {theirs.role}"
        flaw = proving.flaw(welcome)
        if flaw is None and proving.mine.role == "node" and not connection.proves(theirs.host):
            # A process that asks to join is dialled, and could answer as somebody else.
            flaw = (
                f"node {theirs.node_id} says that it is reached at {theirs.host!r}, and its certificate does not "
                "name this host: give it one that does"
            )
        return flaw or (None if self._check is None else self._check(welcome, self.address))

    def failed(self, connection: Connection, reason: str) -> None:
        """Remember what was wrong."""
        del connection
        self.last_refusal, self.is_refused_for_now = reason, False

    def late(self, connection: Connection, reason: str) -> None:
        """Whatever an earlier handshake said, nobody knows what this one would have."""
        del connection, reason
        self.last_refusal = None

    def ended(self, connection: Connection, reason: str) -> None:
        """Dial again, unless the end belongs to an attempt that was given up."""
        if connection is self._candidate:
            self._candidate = None
        elif connection is self.connection:
            self.connection = None
        else:
            return
        self.last_error = reason
        if self._task is None:
            self._dial_later()


class Peers:
    """The wanted links of one process, by name."""

    def __init__(
        self,
        runtime: Runtime,
        identity: Callable[[], Hello],
        settings: Settings,
        handler: ConnectionHandler,
        output: OutputBatch,
        tls: Config | None = None,
        address_map: AddressMap | None = None,
        check: Check | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._peer = partial(
            Peer, runtime, identity=identity, settings=settings, handler=handler, output=output, tls=tls,
            address_map=address_map, check=check, secrets=secrets,
        )  # fmt: skip
        self._peers: dict[str, Peer] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, name: object) -> bool:
        return name in self._peers

    def want(self, name: str, address: tuple[str, int]) -> Peer:
        """Keep a link to `address` from now on; a known name is dialled there the next time."""
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = self._peer(address)
        peer.address = address
        return peer

    def drop(self, name: str) -> None:
        """Close that link and dial it no more; harmless when it is not wanted."""
        peer = self._peers.pop(name, None)
        if peer is not None:
            peer.close()

    def get(self, name: str) -> Peer | None:
        """Return the peer of that name."""
        return self._peers.get(name)

    def close(self) -> None:
        """Drop all."""
        for name in list(self._peers):
            self.drop(name)
