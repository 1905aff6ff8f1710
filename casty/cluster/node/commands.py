"""What an operator may tell a cluster about its members, through any node (ADR 0037).

``COMMAND`` body: ``[what, node id]``, of a link of the role ``status`` only; ``COMMAND_REPLY``: ``[is_done, text]``.

``remove``  a member that is down, and will not come back, has left: others take its places, and groups are as large as
            without it.
``drain``   a member leaves for good, as by its own `leave`. It is asked through the state of the cluster, so it need
            not be linked with whoever was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from casty.cluster.control.machine import STATUS, ControlMachine
from casty.errors import CastyError, RemoteProtocolError
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["DRAIN", "REMOVE", "Commands"]

REMOVE, DRAIN = "remove", "drain"
BECOMES = {REMOVE: "removed", DRAIN: "leaving"}
WRITE_S = 5.0
AT_ONCE = 16
"""Commands that may be carried out at once; an operator who gets no answer asks again."""

Write = Callable[[bytes, float], Awaitable[list[object]]]


class Commands:
    """The commands that one node takes.

    Parameters
    ----------
    machine
        What it knows of the cluster.
    write
        ``await write(entry, timeout_s)`` writes a control entry and returns the reply.

    Bounds: `_tasks` has `AT_ONCE` rows.
    """

    def __init__(self, machine: ControlMachine, write: Write) -> None:
        self._machine = machine
        self._write = write
        self._tasks: dict[asyncio.Task[None], None] = {}

    def on_command(self, link: Connection, body: bytes) -> None:
        """Take a command; raises `RemoteProtocolError` for what is none."""
        row = unpack(body)
        what, node_id = row if isinstance(row, list) and len(row) == 2 else (None, None)
        if not isinstance(what, str) or what not in BECOMES or not isinstance(node_id, str):
            raise RemoteProtocolError(f"command: expected one of {list(BECOMES)} and a node id")
        if len(self._tasks) >= AT_ONCE:
            link.send(frames.COMMAND_REPLY, pack([False, f"{AT_ONCE} commands are under way; ask again"]))
            return
        task = asyncio.get_running_loop().create_task(self._answer(link, what, node_id), name="command")
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _answer(self, link: Connection, what: str, node_id: str) -> None:
        link.send(frames.COMMAND_REPLY, pack(list(await self.do(what, node_id))))

    async def do(self, what: str, node_id: str) -> tuple[bool, str]:
        """Carry out a command; returns whether it was done, and what there is to say."""
        row = self._machine.members.get(node_id)
        if row is None:
            known = ", ".join(self._machine.members) or "nobody"
            return False, f"no member is called {node_id!r:.100}; there are {known:.1000}"
        if what == REMOVE and row.status not in ("down", "removed"):
            return (
                False,
                f"{node_id} is {row.status}: only a member that is down is removed; drain it, or stop it first",
            )
        status = BECOMES[what]
        try:
            reply = await self._write(pack([STATUS, node_id, row.incarnation, status]), WRITE_S)
        except CastyError as error:
            return False, str(error)
        _, *details = reply
        found = next(iter(details), None)
        if found == status or (what == DRAIN and found in ("removed", None)):
            return True, f"{node_id} is {found or 'no member'}"
        return False, f"{node_id} is {found or 'another process now'}; look at the members and try again"

    def close(self) -> None:
        """Carry out nothing more."""
        for task in list(self._tasks):
            task.cancel()
