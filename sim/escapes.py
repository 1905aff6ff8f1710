"""The loop's methods that reach the real world; each raises and names what to call instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from .errors import EscapeError

__all__ = ["FENCED_METHODS", "fenced_method"]

_TRANSPORT = "use casty.runtime.current().transport"
_NO_SUCH = "a simulated process has no such thing"
_WORLD = "the world drives the loop; use World.run"

FENCED_METHODS: tuple[tuple[str, str], ...] = (
    ("add_reader", _TRANSPORT),
    ("remove_reader", _TRANSPORT),
    ("add_writer", _TRANSPORT),
    ("remove_writer", _TRANSPORT),
    ("create_connection", _TRANSPORT + ".dial"),
    ("create_server", _TRANSPORT + ".listen"),
    ("create_unix_connection", _TRANSPORT + ".dial"),
    ("create_unix_server", _TRANSPORT + ".listen"),
    ("create_datagram_endpoint", _TRANSPORT),
    ("connect_accepted_socket", _TRANSPORT),
    ("start_tls", _TRANSPORT),
    ("sendfile", _TRANSPORT),
    ("sock_recv", _TRANSPORT),
    ("sock_recv_into", _TRANSPORT),
    ("sock_recvfrom", _TRANSPORT),
    ("sock_recvfrom_into", _TRANSPORT),
    ("sock_sendall", _TRANSPORT),
    ("sock_sendto", _TRANSPORT),
    ("sock_connect", _TRANSPORT),
    ("sock_accept", _TRANSPORT),
    ("sock_sendfile", _TRANSPORT),
    ("getaddrinfo", "give host names of the world to casty.runtime.current().transport"),
    ("getnameinfo", "give host names of the world to casty.runtime.current().transport"),
    ("subprocess_exec", "add a process with World.add_node"),
    ("subprocess_shell", "add a process with World.add_node"),
    ("connect_read_pipe", _NO_SUCH),
    ("connect_write_pipe", _NO_SUCH),
    ("add_signal_handler", "use World.crash, World.stop or World.pause instead of signals"),
    ("remove_signal_handler", "use World.crash, World.stop or World.pause instead of signals"),
    ("run_forever", _WORLD),
    ("run_until_complete", _WORLD),
    ("stop", _WORLD),
)


def fenced_method(name: str, instead: str) -> Callable[..., NoReturn]:
    """Return a method that refuses."""

    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        del self, args, kwargs
        raise EscapeError(f"loop.{name}", instead)

    return refuse
