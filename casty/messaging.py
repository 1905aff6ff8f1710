"""Delivery by address: the protocol of whatever takes a message for an address, and one for functions of this process.

Actors need neither; they are for code of one's own that has an `ActorAddress` and no system, and for tests.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from casty.address import ActorAddress
from casty.checks import check_callable, check_count, check_name, shown

__all__ = ["LocalTransport", "MessageTransport"]

log = logging.getLogger("casty.messaging")

MAX_PATHS = 10_000
"""Paths of which something is remembered though nobody is registered there: messages that wait, or that it is over."""


@runtime_checkable
class MessageTransport(Protocol):
    """Takes messages for addresses, without blocking.

    Examples
    --------
    >>> class Nowhere:
    ...     def deliver(self, address: ActorAddress, message: Any) -> None:
    ...         pass
    >>> isinstance(Nowhere(), MessageTransport)
    True
    """

    def deliver(self, address: ActorAddress, message: Any, /) -> None:
        """Take a message; what cannot be delivered is lost."""
        ...


class LocalTransport:
    """Gives messages to functions of this process by the path of their address, such as ``ref.tell``.

    What comes before its path is registered waits for it, in order. Behind an `unregister` nothing waits: it is lost
    until the path is registered again.

    Parameters
    ----------
    max_pending_per_path
        How many messages wait for one path, at least 1; more are lost.

    Attributes
    ----------
    lost
        How many messages found nobody and no room. The first one of a path is logged.

    Bounds: a row per registered path; messages wait for 10,000 paths at most, and 10,000 that were unregistered are
    remembered, those of longest ago are forgotten first.

    Examples
    --------
    >>> transport = LocalTransport()
    >>> transport.deliver(ActorAddress("shop", "/cart"), "early")
    >>> found: list[Any] = []
    >>> transport.register("/cart", found.append)
    >>> transport.deliver(ActorAddress("shop", "/cart"), "late")
    >>> found
    ['early', 'late']
    """

    def __init__(self, *, max_pending_per_path: int = 64) -> None:
        self._max_pending = check_count("max_pending_per_path", max_pending_per_path, 1)
        self._handlers: dict[str, Callable[[Any], object]] = {}
        self._pending: dict[str, list[Any]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._complained: OrderedDict[str, None] = OrderedDict()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self.lost = 0

    def register(self, path: str, handler: Callable[[Any], object]) -> None:
        """Give the messages of a path to a function, first those that wait.

        Raises
        ------
        TypeError, ValueError
            `path` is no text or empty, or `handler` is no function.
        """
        check_name(path, "path")
        check_callable(handler, "handler")
        self._handlers[path] = handler
        self._gone.pop(path, None)
        self._complained.pop(path, None)
        for message in self._pending.pop(path, []):
            handler(message)
        for waiter in self._waiters.pop(path, []):
            if not waiter.done():
                waiter.set_result(None)

    def unregister(self, path: str) -> None:
        """Give nobody the messages of a path any more; harmless when nobody got them."""
        self._handlers.pop(path, None)
        self._pending.pop(path, None)
        _remember(self._gone, path)

    async def wait_for_path(self, path: str) -> None:
        """Return when somebody is registered for a path."""
        if path in self._handlers:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(path, []).append(waiter)
        try:
            await waiter
        finally:
            left = [one for one in self._waiters.get(path, []) if one is not waiter]
            if left:
                self._waiters[path] = left
            else:
                self._waiters.pop(path, None)

    def deliver(self, address: ActorAddress, message: Any, /) -> None:
        """Give a message to whoever has the path of the address, or keep it until somebody has."""
        path = address.path
        handler = self._handlers.get(path)
        if handler is not None:
            handler(message)
        elif path in self._gone:
            self._lose(path, "nobody is registered for it any more")
        elif path in self._pending:
            if len(self._pending[path]) < self._max_pending:
                self._pending[path].append(message)
            else:
                self._lose(path, f"{self._max_pending} messages wait for it, max_pending_per_path")
        elif len(self._pending) < MAX_PATHS:
            self._pending[path] = [message]
        else:
            self._lose(path, f"messages wait for {MAX_PATHS} other paths")

    def _lose(self, path: str, reason: str) -> None:
        self.lost += 1
        if path not in self._complained:
            log.warning("a message for %s is lost: %s; more may follow", shown(path), reason)
        _remember(self._complained, path)


def _remember(paths: OrderedDict[str, None], path: str) -> None:
    paths[path] = None
    paths.move_to_end(path)
    if len(paths) > MAX_PATHS:
        paths.popitem(last=False)
