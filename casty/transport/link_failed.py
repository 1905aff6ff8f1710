"""The event of a link that ended because of its other end."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LinkFailed"]


class LinkFailed(NamedTuple):
    """A link ended because of what the other end sent, or because the handshake was refused or timed out."""

    peer: str
    reason: str
