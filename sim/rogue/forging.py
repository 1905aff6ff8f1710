"""Frames that nobody sent: real ones that were recorded, sent again, or with something in them replaced.

What is forged is what a stranger could write who saw frames go by and knows no secret: 16 random bytes are replaced by
others wherever they stand, and what actors tell each other by bytes that are no message. So whatever an honest
process is made to do by them is a fault: nothing forged may count for anybody but its sender.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any

from casty.cluster.slots.schema import OPEN
from casty.errors import CastyError
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Forger"]

SECRET_BYTES = 16
"""So long are the random values by which sessions, identities and challenges are told."""
_KEPT = 24
"""Frames of one kind that are kept."""
_POOL = 256
"""Values of one type that are kept, to be put where others stood."""
_NUMBERS = (0, -1, 1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1)
_TEXTS = ("", "/", "$registrar", "/$regions", "a\nb\x1b[2J", "x" * 5000)
_OTHERS: tuple[Any, ...] = (None, True, 1.5, [], {}, b"", "", 10**5000, [[[[]]]], b"\xc1" * 40)
_MESSAGES = (frames.ACTOR, frames.RELAY, frames.ENTITY)

Below = Callable[[str, int], int]


class Forger:
    """The frames that were seen, and what is made of them.

    Parameters
    ----------
    below
        Draws a number below another one, for a purpose.
    own
        The name of whoever forges: no value of a forged frame is that, as it may say about itself what it likes.
    """

    def __init__(self, below: Below, own: str) -> None:
        self._below = below
        self._own = own
        self._seen: dict[int, deque[bytes]] = {}
        self._pool: dict[type, deque[Any]] = {}

    def record(self, kind: int, body: bytes) -> None:
        """See a frame go by."""
        self._seen.setdefault(kind, deque(maxlen=_KEPT)).append(body)

    def forge(self, kinds: tuple[int, ...]) -> tuple[int, bytes] | None:
        """Return the kind and body of a forged frame; None while nothing of these kinds was seen."""
        seen = [kind for kind in kinds if kind in self._seen]
        if not seen:
            return None
        kind = seen[self._below("kind", len(seen))]
        bodies = self._seen[kind]
        body = bodies[self._below("frame", len(bodies))]
        plain = _plain(body)
        if plain is None:
            return kind, self._bent(body)
        plain = self._scrubbed(kind, plain)
        way = self._below("way", 8)
        if way < 5:
            for _ in range(1 + self._below("changes", 3) if way else 0):
                plain = self._replaced(plain, self._below("leaf", max(1, _leaves(plain))))
            return kind, _packed(plain)
        if way < 7:
            return kind, self._bent(_packed(plain))
        return kinds[self._below("other", len(kinds))], _packed(plain)

    # -- what a stranger cannot know

    def _scrubbed(self, kind: int, plain: Any) -> Any:
        if (
            kind == frames.BUNDLE
            and isinstance(plain, list)
            and len(plain) == 2
            and isinstance(plain[1], list)
        ):
            return [plain[0], [self._scrubbed(plain[0], row) for row in plain[1]]]
        if kind in _MESSAGES and isinstance(plain, list) and plain and not _is_ours(kind, plain):
            plain = [*plain[:-1], bytes(self._below("byte", 256) for _ in range(12))]
        return self._without_secrets(plain)

    def _without_secrets(self, plain: Any) -> Any:
        if isinstance(plain, list):
            if len(plain) == 3 and plain[0] == OPEN and _is_secret(plain[1]):
                # The same opening stays the same, however often it is sent: a stranger has few sessions.
                own = hashlib.sha256(plain[1] + self._own.encode()).digest()[:SECRET_BYTES]
                return [OPEN, own, plain[2]]
            return [self._without_secrets(value) for value in plain]
        if isinstance(plain, dict):
            return {key: self._without_secrets(value) for key, value in plain.items()}
        if isinstance(plain, bytes):
            if _is_secret(plain):
                return bytes(self._below("byte", 256) for _ in range(SECRET_BYTES))
            inner = _plain(plain)
            return _packed(self._without_secrets(inner)) if isinstance(inner, list) else plain
        self._keep(plain)
        return plain

    def _keep(self, value: Any) -> None:
        if value != self._own and not (isinstance(value, str) and self._own in value):
            self._pool.setdefault(type(value), deque(maxlen=_POOL)).append(value)

    # -- changes

    def _replaced(self, plain: Any, leaf: int) -> Any:
        """Return the value with its so-many-th leaf replaced; bytes that are a list count as one."""
        changed, _ = self._walk(plain, leaf)
        return changed

    def _walk(self, plain: Any, leaf: int) -> tuple[Any, int]:
        if leaf < 0:
            return plain, leaf
        if isinstance(plain, list) and plain:
            rows = []
            for value in plain:
                row, leaf = self._walk(value, leaf)
                rows.append(row)
            return rows, leaf
        inner = _plain(plain) if isinstance(plain, bytes) else None
        if isinstance(inner, list) and inner:
            changed, left = self._walk(inner, leaf)
            return (plain, left) if left >= 0 else (_packed(changed), left)
        return (self._other(plain) if leaf == 0 else plain), leaf - 1

    def _other(self, value: Any) -> Any:
        way = self._below("value", 4)
        pool = self._pool.get(type(value))
        if way < 2 and pool:
            return pool[self._below("pooled", len(pool))]
        if way == 2 and isinstance(value, int):
            return _NUMBERS[self._below("number", len(_NUMBERS))]
        if way == 2 and isinstance(value, str):
            return _TEXTS[self._below("text", len(_TEXTS))]
        return _OTHERS[self._below("type", len(_OTHERS))]

    def _bent(self, body: bytes) -> bytes:
        """Return the bytes with some flipped, cut off, or doubled."""
        if not body:
            return b"\x00"
        way = self._below("bend", 4)
        if way == 0:
            return body[: self._below("cut", len(body))]
        if way == 1:
            return body + body[: 1 + self._below("more", len(body))]
        bent = bytearray(body)
        for _ in range(1 + self._below("flips", 4)):
            bent[self._below("at", len(bent))] ^= 1 << self._below("bit", 8)
        return bytes(bent)


def _is_secret(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == SECRET_BYTES


def _is_ours(kind: int, row: list[Any]) -> bool:
    """Whether a message is for an actor of the library, which has to survive any."""
    path = row[1] if kind != frames.ENTITY and len(row) > 1 else None
    return isinstance(path, str) and path.startswith("/$") and not path.startswith("/$ask")


def _plain(body: bytes) -> Any:
    try:
        return unpack(body) if body else None
    except CastyError:
        return None


def _packed(plain: Any) -> bytes:
    try:
        return pack(plain)
    except CastyError:
        return b"\xc0"


def _leaves(plain: Any) -> int:
    if isinstance(plain, list) and plain:
        return sum(map(_leaves, plain))
    inner = _plain(plain) if isinstance(plain, bytes) else None
    return _leaves(inner) if isinstance(inner, list) and inner else 1
