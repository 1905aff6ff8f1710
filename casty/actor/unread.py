"""How many bytes of messages the actors of one system have not read."""

from __future__ import annotations

__all__ = ["MESSAGE_BYTES", "Unread"]

MESSAGE_BYTES = 256
"""What an unread message counts for besides its encoded bytes. One that was told within its process has none: nobody
walks through objects to find out how large they are, and the number of messages of a mailbox is bounded."""


class Unread:
    """A running sum, one per system: mailboxes and whoever keeps messages back add to it and take off it.

    Attributes
    ----------
    size_bytes
        The sum now; 0 when nothing is unread.
    """

    __slots__ = ("size_bytes",)

    def __init__(self) -> None:
        self.size_bytes = 0
