"""The loop's methods that reach the real world; each raises and names what to call instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn, TypeVarTuple

from .errors import EscapeError

__all__ = ["FencedLoop"]

Ts = TypeVarTuple("Ts")

_TRANSPORT = "use casty.runtime.current().transport"
_NO_SUCH = "a simulated process has no such thing"
_SIGNALS = "use World.crash, World.stop or World.pause instead of signals"
_NAMES = "give host names of the world to casty.runtime.current().transport"
_PROCESS = "add a process with World.add_node"
_WORLD = "the world drives the loop; use World.run"


def _fenced(name: str, instead: str) -> Callable[..., NoReturn]:
    """Return a method that refuses."""

    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        del self, args, kwargs
        raise EscapeError(f"loop.{name}", instead)

    return refuse


class FencedLoop(asyncio.AbstractEventLoop):
    """A loop without any way out."""

    remove_reader = _fenced("remove_reader", _TRANSPORT)
    remove_writer = _fenced("remove_writer", _TRANSPORT)
    create_connection = _fenced("create_connection", _TRANSPORT + ".dial")
    create_server = _fenced("create_server", _TRANSPORT + ".listen")
    create_unix_connection = _fenced("create_unix_connection", _TRANSPORT + ".dial")
    create_unix_server = _fenced("create_unix_server", _TRANSPORT + ".listen")
    create_datagram_endpoint = _fenced("create_datagram_endpoint", _TRANSPORT)
    connect_accepted_socket = _fenced("connect_accepted_socket", _TRANSPORT)
    start_tls = _fenced("start_tls", _TRANSPORT)
    sendfile = _fenced("sendfile", _TRANSPORT)
    sock_recv = _fenced("sock_recv", _TRANSPORT)
    sock_recv_into = _fenced("sock_recv_into", _TRANSPORT)
    sock_recvfrom = _fenced("sock_recvfrom", _TRANSPORT)
    sock_recvfrom_into = _fenced("sock_recvfrom_into", _TRANSPORT)
    sock_sendall = _fenced("sock_sendall", _TRANSPORT)
    sock_sendto = _fenced("sock_sendto", _TRANSPORT)
    sock_connect = _fenced("sock_connect", _TRANSPORT)
    sock_accept = _fenced("sock_accept", _TRANSPORT)
    sock_sendfile = _fenced("sock_sendfile", _TRANSPORT)
    getaddrinfo = _fenced("getaddrinfo", _NAMES)
    getnameinfo = _fenced("getnameinfo", _NAMES)
    subprocess_exec = _fenced("subprocess_exec", _PROCESS)
    subprocess_shell = _fenced("subprocess_shell", _PROCESS)
    connect_read_pipe = _fenced("connect_read_pipe", _NO_SUCH)
    connect_write_pipe = _fenced("connect_write_pipe", _NO_SUCH)
    remove_signal_handler = _fenced("remove_signal_handler", _SIGNALS)
    run_forever = _fenced("run_forever", _WORLD)
    run_until_complete = _fenced("run_until_complete", _WORLD)
    stop = _fenced("stop", _WORLD)

    def add_reader(self, fd: object, callback: Callable[[*Ts], object], *args: *Ts) -> NoReturn:
        """Refused."""
        raise EscapeError("loop.add_reader", _TRANSPORT)

    def add_writer(self, fd: object, callback: Callable[[*Ts], object], *args: *Ts) -> NoReturn:
        """Refused."""
        raise EscapeError("loop.add_writer", _TRANSPORT)

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> NoReturn:
        """Refused."""
        raise EscapeError("loop.add_signal_handler", _SIGNALS)
