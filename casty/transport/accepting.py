"""Taking connections of a listening socket: a few in one turn, and none for a while where descriptors are used up.

The accept loop of asyncio goes on for as many rounds as the backlog is long after the system refused a descriptor, and
logs each of them with a trace: with 64 descriptors and 80 clients that was 133 MB in 38 s, and nobody was served.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from casty.forks import keep_from_children

__all__ = ["Accepting"]

log = logging.getLogger("casty.transport")

AT_ONCE = 8
"""Connections taken in one turn of the loop: they are judged, and perhaps closed, before more are taken."""
PAUSE_S = 0.5
"""How long none are taken after the system had no descriptor or no memory for one."""
COMPLAIN_S = 10.0
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Accepting:
    """Takes the connections of one listening socket.

    Parameters
    ----------
    listening
        The socket; it is closed with this.
    make
        Makes the protocol of each connection.
    """

    def __init__(self, listening: socket.socket, make: Callable[[], asyncio.BaseProtocol]) -> None:
        self._socket = listening
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._adopting: dict[asyncio.Task[None], socket.socket] = {}
        """Sockets on their way to a transport: at most as many as were accepted in the last turn or two."""
        self._pause: asyncio.TimerHandle | None = None
        self._complain_at = 0.0
        self._lost = 0
        """Connections that were lost on their way to a transport, since the last line about one."""
        self._lost_at = 0.0
        listening.setblocking(False)
        keep_from_children(listening.fileno())
        self._loop.add_reader(listening, self._ready)

    def close(self) -> None:
        """Take no more; harmless when it is closed already."""
        if self._socket.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in list(self._adopting):
            task.cancel()

    def _ready(self) -> None:
        for _ in range(AT_ONCE):
            try:
                taken, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in SCARCE:
                    raise
                self._wait(error)
                return
            taken.setblocking(False)
            task = self._loop.create_task(self._adopt(taken))
            self._adopting[task] = taken
            task.add_done_callback(self._adopted)

    def _wait(self, error: OSError) -> None:
        """Whoever dials waits in the backlog meanwhile; those who are served go on."""
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(PAUSE_S, self._go_on)
        if self._loop.time() >= self._complain_at:
            self._complain_at = self._loop.time() + COMPLAIN_S
            log.warning("no connection is taken until there are descriptors again: %s", error)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._ready)

    async def _adopt(self, taken: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._make, taken)

    def _adopted(self, task: asyncio.Task[None]) -> None:
        taken = self._adopting.pop(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            # Here, since a task that is cancelled before its first step runs nothing of its own.
            taken.close()
        if error is not None:
            self._lost += 1
            if self._loop.time() >= self._lost_at:
                self._lost_at, lost = self._loop.time() + COMPLAIN_S, self._lost
                self._lost = 0
                log.warning("connections that were taken are lost: %d, the last one by %r", lost, error)
