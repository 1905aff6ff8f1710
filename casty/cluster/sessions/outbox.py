"""Requests on their way out: what a gateway has for one node in one loop turn leaves in one frame.

No more than `AT_ONCE` of them, and the others in later turns: whoever takes a frame works off all of it in one turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from casty.cluster.sessions.core.effects import Item, Send
from casty.cluster.sessions.routes import Routes
from casty.cluster.slots.operations import AT_ONCE
from casty.errors import MessageTooLarge
from casty.transport.output_batch import OutputBatch
from casty.wire import frames
from casty.wire.pack import pack

__all__ = ["Outgoing"]


class Outgoing:
    """Stages requests by node and sends them at the end of the turn.

    Parameters
    ----------
    routes
        The ways to the nodes.
    refused
        Told (node id, call id) of a request that never left.
    too_large
        Told (call id, error) of a request that no frame to its node can hold.
    turn
        The owner's; flushing inside of it spares a trip through the loop before the links are written.
    """

    __slots__ = ("_is_due", "_output", "_refused", "_routes", "_staged", "_too_large")

    def __init__(
        self,
        routes: Routes,
        refused: Callable[[str, int], None],
        too_large: Callable[[int, MessageTooLarge], None],
        output: OutputBatch | None,
    ) -> None:
        self._routes = routes
        self._refused = refused
        self._too_large = too_large
        self._output = output
        self._staged: dict[str, deque[Item]] = {}
        """By node; a row goes with the last request for it."""
        self._is_due = False

    def add(self, one: Send) -> None:
        """Send a request at the end of this turn, or of one soon after."""
        node_id, item = one
        staged = self._staged.get(node_id)
        if staged is not None:
            staged.append(item)
            return
        self._staged[node_id] = deque((item,))
        self._see_to_it()

    def _see_to_it(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send the first of what is staged for each node."""
        self._is_due = False
        batches = self._take()
        if self._staged:
            self._see_to_it()
        output = self._output
        if output is None:
            for node_id, items in batches:
                self._send(node_id, items)
            return
        output.begin()
        try:
            for node_id, items in batches:
                self._send(node_id, items)
        finally:
            output.end()

    def _take(self) -> list[tuple[str, list[Item]]]:
        batches: list[tuple[str, list[Item]]] = []
        for node_id, staged in list(self._staged.items()):
            if len(staged) <= AT_ONCE:
                del self._staged[node_id]
                batches.append((node_id, list(staged)))
            else:
                batches.append((node_id, [staged.popleft() for _ in range(AT_ONCE)]))
        return batches

    def _send(self, node_id: str, items: list[Item]) -> None:
        try:
            if not self._routes.send(node_id, frames.REQUEST, pack(items)):
                for item in items:
                    self._refused(node_id, item[0])
        except MessageTooLarge as error:
            half = len(items) // 2
            if half:
                self._send(node_id, items[:half])
                self._send(node_id, items[half:])
            else:
                self._too_large(items[0][0], error)
