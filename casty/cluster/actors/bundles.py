"""Messages that came in one frame: each is judged and taken as if it had come in one of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from casty.cluster.authority import Speaker
from casty.errors import RemoteProtocolError
from casty.limits import MAX_BUNDLE
from casty.transport.connection import Connection
from casty.transport.shares import InShares
from casty.wire.pack import unpack

__all__ = ["Bundles"]

Taker = Callable[[Any, Speaker | None], None]
"""Takes a message, as it was unpacked, of a link that speaks as somebody; None: of one that is believed."""


class Bundles:
    """What takes the bundles of a process.

    Parameters
    ----------
    takers
        What takes a message of each kind.
    speaker
        Returns as whom a link speaks.
    fault
        Told what a message of a link raised; raises it where the link has to end for it.
    """

    def __init__(
        self,
        takers: Mapping[int, Taker],
        speaker: Callable[[Connection], Speaker | None],
        fault: Callable[[Connection, Exception], None],
    ) -> None:
        self._takers = takers
        self._speaker = speaker
        self._fault = fault

    def on_bundle(self, link: Connection, body: bytes) -> None:
        """Take a ``BUNDLE`` frame, or nothing of it; raises `RemoteProtocolError` for what no process sends."""
        kind, rows = self._read(body)
        # Of a link that floods as many are taken at once as fit into its share.
        most = link.share.units
        if len(rows) > most and link.has_budget:
            link.defer(InShares(rows, most, partial(self._take, link, kind), link.charge).go_on)
        else:
            link.charge(len(rows) - 1)
            self._take(link, kind, rows)

    def _read(self, body: bytes) -> tuple[int, list[Any]]:
        plain: Any = unpack(body)
        match plain:
            case [int(kind), list(rows)] if kind in self._takers and 0 < len(rows) <= MAX_BUNDLE:
                return kind, rows
            case _:
                raise RemoteProtocolError(f"bundle: expected [kind of messages, 1 to {MAX_BUNDLE} of them]")

    def _take(self, link: Connection, kind: int, rows: list[Any]) -> None:
        take, speaker = self._takers[kind], self._speaker(link)
        for row in rows:
            if link.closed_reason is not None:
                return  # as with frames that came behind one that ends their link
            link.messages_in += 1
            try:
                take(row, speaker)
            except (
                Exception
            ) as error:  # the link reader: it costs one message, as far as it is not its link's
                self._fault(link, error)
