"""What happened, in order, and a digest over it.

The digest covers (virtual time, node, kind, fields) of every event and nothing else: no callback names, no
addresses, no step counts, no `repr`. Its text form is frozen and versioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

__all__ = ["DIGEST_VERSION", "Trace", "TraceEvent"]

DIGEST_VERSION = 1


class TraceEvent(NamedTuple):
    """One event of one process."""

    t_ns: int
    node: str
    event: tuple[object, ...]

    @property
    def kind(self) -> str:
        """The event's type, by name."""
        return type(self.event).__name__


Listener = Callable[[TraceEvent], None]


class Trace:
    """The events of one world.

    Examples
    --------
    >>> trace = Trace()
    >>> trace.add(5, "a", ("up", 1))
    >>> len(trace), trace.digest() == Trace().digest()
    (1, False)
    """

    def __init__(self) -> None:
        self._events: list[TraceEvent] = []
        self._hash = blake2b(b"casty-digest-%d" % DIGEST_VERSION, digest_size=16)
        self._hashed = 0
        self._listeners: list[tuple[Listener, tuple[type, ...]]] = []
        self._by_kind: dict[type, list[Listener]] = {}
        """Who hears of events of a type, as far as there were any: most listeners look for two or three types."""

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[TraceEvent]:
        return iter(self._events)

    def __getitem__(self, index: int) -> TraceEvent:
        return self._events[index]

    def subscribe(self, listener: Listener, *kinds: type) -> None:
        """Hear every event from now on, as it happens; with `kinds`, only those of one of these types."""
        self._listeners.append((listener, kinds))
        self._by_kind.clear()

    def _listeners_of(self, kind: type) -> list[Listener]:
        found = [listener for listener, kinds in self._listeners if not kinds or issubclass(kind, kinds)]
        self._by_kind[kind] = found
        return found

    def add(self, t_ns: int, node: str, event: tuple[object, ...]) -> None:
        """Record an event."""
        entry = TraceEvent(t_ns, node, event)
        self._events.append(entry)
        listeners = self._by_kind.get(type(event))
        for listener in self._listeners_of(type(event)) if listeners is None else listeners:
            listener(entry)

    def digest(self) -> str:
        """Return the digest of everything so far, as ``version:hex``."""
        for entry in self._events[self._hashed :]:
            text: list[bytes] = []
            _encode((entry.t_ns, entry.node, entry.kind, *entry.event), text)
            self._hash.update(b"".join(text))
        self._hashed = len(self._events)
        return f"{DIGEST_VERSION}:{self._hash.hexdigest()}"


def _encode(value: object, into: list[bytes]) -> None:
    """Append a self-delimiting form of a value; order of dicts is theirs, sets are refused."""
    if type(value) is int:
        into.append(b"i%d;" % value)
    elif type(value) is str:
        data = value.encode("utf-8", "surrogatepass")
        into.append(b"s%d:%s" % (len(data), data))
    elif type(value) is bytes:
        into.append(b"b%d:%s" % (len(value), value))
    elif isinstance(value, (tuple, list)):
        into.append(b"(")
        for item in value:
            # The two that most fields are, without a call for each.
            if type(item) is int:
                into.append(b"i%d;" % item)
            elif type(item) is str:
                data = item.encode("utf-8", "surrogatepass")
                into.append(b"s%d:%s" % (len(data), data))
            else:
                _encode(item, into)
        into.append(b")")
    else:
        _encode_rare(value, into)


def _encode_rare(value: object, into: list[bytes]) -> None:
    if value is None or isinstance(value, bool):
        into.append(b"N;" if value is None else b"T;" if value else b"F;")
    elif isinstance(value, Enum):
        _encode((type(value).__name__, value.name), into)
    elif isinstance(value, float):
        into.append(b"f" + value.hex().encode() + b";")
    elif isinstance(value, dict):
        _encode([part for pair in value.items() for part in pair], into)
    elif isinstance(value, int):
        _encode(int(value), into)
    elif isinstance(value, str):
        _encode(str(value), into)
    elif isinstance(value, (bytes, bytearray)):
        _encode(bytes(value), into)
    else:
        raise TypeError(f"an event field of type {type(value).__name__} has no stable form")
