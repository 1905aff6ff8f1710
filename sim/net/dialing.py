"""Making links: TCP's handshake, its retries, and TLS only as far as two sides can disagree about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from casty.ports import Link, LinkFactory, Listener

from ..kernel.incarnation import Incarnation
from .link import SimLink
from .network import Network, SimListener
from .path import Path

if TYPE_CHECKING:
    from casty.tls import Config

__all__ = ["SimTransport"]

_CONNECT_TIMEOUT_NS = 127_000_000_000
_SYN_RETRY_NS = 1_000_000_000
CLIENT_HELLO = bytes.fromhex("160301020001")
TLS_ALERT = bytes.fromhex("15030300020246")


class SimTransport:
    """One process's port to the network. Implements `casty.ports.Transport`."""

    __slots__ = ("_machine", "_network", "_owner")

    def __init__(self, network: Network, owner: Incarnation, machine: str) -> None:
        self._network = network
        self._owner = owner
        self._machine = machine

    async def listen(
        self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None
    ) -> Listener:
        """Bind a port of this machine."""
        return self._network.bind(self._owner, self._machine, host, port, on_link, tls is not None)

    async def dial(self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None) -> Link:
        """Make a link, or raise `OSError` when nobody answers."""
        for told in self._network.dialled:
            told(self._owner, (host, port))
        dial = Dial(self._network, self._owner, self._machine, (host, port), on_link, tls is not None)
        return await dial.run()


class Dial:
    """One attempt to make a link: a SYN there, an answer back."""

    def __init__(
        self,
        network: Network,
        owner: Incarnation,
        machine: str,
        address: tuple[str, int],
        on_link: LinkFactory,
        is_tls: bool,
    ) -> None:
        self.network = network
        self.owner = owner
        self.machine = machine
        self.address = address
        self._on_link = on_link
        self._is_tls = is_tls
        self._tries = 0
        target = network.resolve(machine, address[0])
        if target is None:
            raise OSError(-2, f"name or service not known: {address[0]!r}")
        self._target = target
        self.number = network.count_dial(machine, target)
        self._there = network.path(machine, target)
        self._back = network.path(target, machine)
        self._deadline_ns = network.loop.now_ns + _CONNECT_TIMEOUT_NS
        self._answer: asyncio.Future[Link] = network.loop.create_future()

    async def run(self) -> Link:
        """Wait for the answer."""
        self._send_syn()
        return await self._answer

    def _at(self, path: Path, callback: Callable[..., object], *args: object) -> None:
        sequence = self.number * 64 + self._tries
        due_ns = self.network.loop.now_ns + path.dial_delay_ns(path.label, sequence)
        self.network.loop.schedule(due_ns, self.network.loop.kernel, callback, *args)

    def _send_syn(self) -> None:
        if not self._answer.done() and not self.owner.is_dead:
            self._at(self._there, self._syn_arrives)

    def _lost(self) -> None:
        """Try again after a while, as TCP does."""
        loop = self.network.loop
        self._tries += 1
        retry_ns = loop.now_ns + (_SYN_RETRY_NS << min(self._tries - 1, 5))
        if retry_ns < self._deadline_ns:
            loop.schedule(retry_ns, loop.kernel, self._send_syn)
        else:
            self.network.post(self.owner, self._fail, TimeoutError(110, "connection timed out"))

    def _syn_arrives(self) -> None:
        if self._answer.done() or self.owner.is_dead:
            return
        if self._there.is_cut or self._back.is_cut or self.network.down.get(self._target):
            self._lost()
            return
        listener = self.network.listener_at(self._target, self.address[1])
        if listener is None or listener.owner.is_dead:
            text = f"connection refused by {self.address[0]}:{self.address[1]}"
            self._at(self._back, self._answer_arrives, ConnectionRefusedError(111, text), None)
            return
        near, far = self.network.connect(self.owner, self.machine, self.address, self.number, listener)
        near.is_tls, far.is_tls = self._is_tls, listener.is_tls
        self.network.post(listener.owner, _accept, listener, far, self._is_tls)
        self._at(self._back, self._answer_arrives, None, near)

    def _answer_arrives(self, error: OSError | None, near: SimLink | None) -> None:
        if near is None:
            assert error is not None, "an answer without a link says why"
            self.network.post(self.owner, self._fail, error)
        elif self.owner.is_dead:
            near.die(is_silent=False)
        else:
            self.network.post(self.owner, self._open, near)

    def _fail(self, error: OSError) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)

    def _open(self, near: SimLink) -> None:
        if self._answer.done():
            near.abort()
        elif self._is_tls and not near.remote.is_tls:
            near.attach(TlsWaiter(self._fail))
            near.write(CLIENT_HELLO)
        else:
            near.attach(self._on_link(near))
            self._answer.set_result(near)


class TlsWaiter:
    """A dialler that speaks TLS to a listener that does not: whatever comes back ends the attempt."""

    __slots__ = ("_fail",)

    def __init__(self, fail: Callable[[OSError], None]) -> None:
        self._fail = fail

    def data_received(self, data: bytes) -> None:
        """Not a TLS answer."""
        del data
        self._fail(ConnectionAbortedError("the other side does not speak TLS"))

    def link_lost(self, reason: BaseException | None) -> None:
        """The other side gave up."""
        del reason
        self._fail(ConnectionResetError("the link was lost during the TLS handshake"))


class PlainRefuser:
    """A listener that speaks TLS, hearing somebody who does not: an alert, then the end."""

    __slots__ = ("_link",)

    def __init__(self, link: SimLink) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        """Not a TLS hello."""
        del data
        self._link.write(TLS_ALERT)
        self._link.close()

    def link_lost(self, reason: BaseException | None) -> None:
        """Nothing to do."""


def _accept(listener: SimListener, link: SimLink, is_dialler_tls: bool) -> None:
    if not listener.is_open:
        link.abort()
    elif listener.is_tls and not is_dialler_tls:
        link.attach(PlainRefuser(link))
    else:
        link.attach(listener.on_link(link))
