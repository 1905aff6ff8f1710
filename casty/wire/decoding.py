"""Plain trees to user values: the mirror of `encoding`. Nothing but field constructors is ever called."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

from casty.address import ActorAddress
from casty.checks import shown
from casty.errors import EncodingError
from casty.limits import MAX_DEPTH, MAX_PORT
from casty.ordered import FrozenOrderedSet
from casty.wire import encoding as tags
from casty.wire.encoding import SCALARS, check_spread
from casty.wire.pack import Plain
from casty.wire.registry import Registry
from casty.wire.shapes import Shape, enum_of, shape_of

__all__ = ["Decoder", "RefFactory"]

RefFactory = Callable[[ActorAddress], object]
"""Makes a ref that works here from the address that travelled."""

Decode = Callable[["Decoder", list[Plain], int], object]

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MOST_OFFSET = DAY - timedelta.resolution
"""From UTC: an offset is shorter than a day."""


class Decoder:
    """Turns plain trees into user values.

    Parameters
    ----------
    registry
        Explicit names.
    strict
        Whether only those are resolved.
    ref_factory
        Makes actor refs; without it they cannot be decoded.
    """

    __slots__ = ("_registry", "_shapes", "_strict", "ref_factory")

    def __init__(self, registry: Registry, strict: bool, ref_factory: RefFactory | None) -> None:
        self._registry = registry
        self._strict = strict
        self._shapes: dict[str, tuple[type, Shape | None]] = {}
        self.ref_factory = ref_factory

    def value(self, plain: Plain, depth: int = 0) -> object:
        """Return the value of a plain tree; raises whatever a malformed tree makes Python raise."""
        if type(plain) in SCALARS:
            return plain
        if depth > MAX_DEPTH:
            raise EncodingError(f"expected at most {MAX_DEPTH} nested levels")
        if type(plain) is list:
            tag = plain[0]
            if type(tag) is not int or not 0 <= tag < len(_DECODERS):
                raise EncodingError(f"expected a tag below {len(_DECODERS)}, found {shown(tag, 80)}")
            return _DECODERS[tag](self, plain, depth + 1)
        assert isinstance(plain, dict), "unpack returns nothing else"
        return self.fields(plain, depth + 1)

    def fields(self, plain: Plain, depth: int) -> dict[str, object]:
        """Return the values of a dictionary with string keys."""
        if not isinstance(plain, dict):
            raise EncodingError(f"expected a dictionary, found {shown(plain, 80)}")
        found: dict[str, object] = {}
        for key, item in plain.items():
            if type(key) is not str:
                raise EncodingError(f"expected a string key, found {shown(key, 80)}")
            found[key] = item if type(item) in SCALARS else self.value(item, depth)
        return found

    def shape(self, name: Plain) -> tuple[type, Shape | None]:
        """Return the class of a wire name and its shape."""
        if not isinstance(name, str):
            raise EncodingError(f"expected a wire name, found {shown(name, 80)}")
        cls = self._registry.resolve(name, strict=self._strict)
        known = self._shapes.get(name)
        if known is None or known[0] is not cls:
            if hasattr(cls, "__casty_ref__"):
                raise EncodingError(f"expected a ref to travel as one, found {name!r} with fields of its own")
            known = self._shapes[name] = (cls, None if issubclass(cls, Enum) else shape_of(cls))
        return known


def _items(decoder: Decoder, plain: list[Plain], depth: int) -> list[object]:
    value = decoder.value
    items = [item if type(item) in SCALARS else value(item, depth) for item in plain]
    del items[0]
    return items


def _members(
    decoder: Decoder, plain: list[Plain], depth: int, make: Callable[[list[object]], object]
) -> object:
    members = _items(decoder, plain, depth)
    check_spread(members)
    return make(members)


def _pairs(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    flat = _items(decoder, plain, depth)
    keys = flat[::2]
    check_spread(keys)
    return dict(zip(keys, flat[1::2], strict=True))


def _record(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    tag, name, fields = plain
    cls, shape = decoder.shape(name)
    if shape is None or issubclass(cls, tuple) != (tag == tags.NAMED_TUPLE):
        raise EncodingError(
            f"expected {name!r} to be the kind of class that was sent, found {cls.__qualname__}"
        )
    return shape.build(decoder.fields(fields, depth))


def _enum(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del depth
    _, name, member = plain
    return enum_of(decoder.shape(name)[0], member)


def _datetime(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del decoder, depth
    match plain:
        case [_, str() as local]:  # these three are keys
            return datetime.fromisoformat(local)
        case [_, str() as instant, "utc"]:
            return datetime.fromisoformat(instant).replace(tzinfo=UTC)
        case [_, since, "utc"]:
            return _out_of_range(timedelta(microseconds=_int(since)))
        case _:
            _, text, fold = plain
            return datetime.fromisoformat(_str(text)).replace(fold=_int(fold))


def _out_of_range(since: timedelta) -> datetime:
    """Return an instant so long after the year 1 in UTC that does not lie in its range, with an offset that does."""
    offset = MOST_OFFSET if since < timedelta(0) else -MOST_OFFSET
    return datetime.min.replace(tzinfo=timezone(offset)) + (since + offset)


def _time(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del decoder, depth
    match plain:
        case [_, str() as local]:  # these two are keys
            return time.fromisoformat(local)
        case [_, since]:
            return _time_of(timedelta(microseconds=_int(since)))
        case _:
            _, text, fold = plain
            return time.fromisoformat(_str(text)).replace(fold=_int(fold))


def _time_of(since: timedelta) -> time:
    """Return the time that is so long after midnight in UTC; outside of that day with an offset that moves it there.

    By whole seconds, as Python compares times with different offsets without what these have besides.
    """
    offset = timedelta(0)
    if since < timedelta(0):
        offset = min(MOST_OFFSET, timedelta(seconds=-(since // SECOND)))
    elif since >= DAY:
        offset = max(-MOST_OFFSET, timedelta(seconds=-((since - DAY) // SECOND + 1)))
    return (datetime.min.replace(tzinfo=timezone(offset)) + (since + offset)).timetz()


def _timedelta(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del decoder, depth
    _, days, seconds, microseconds = plain
    return timedelta(_int(days), _int(seconds), _int(microseconds))


def _text(make: Callable[[str], object]) -> Decode:
    def decode(decoder: Decoder, plain: list[Plain], depth: int) -> object:
        del decoder, depth
        _, text = plain
        return make(_str(text))

    return decode


def _uuid(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del decoder, depth
    _, data = plain
    if not isinstance(data, bytes):
        raise EncodingError(f"expected 16 bytes, found {shown(data, 80)}")
    return UUID(bytes=data)


def _complex(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del decoder, depth
    _, real, imaginary = plain
    if type(real) is not float or type(imaginary) is not float:
        raise EncodingError("expected two floats")
    return complex(real, imaginary)


def _ref(decoder: Decoder, plain: list[Plain], depth: int) -> object:
    del depth
    if decoder.ref_factory is None:
        raise EncodingError("found an actor ref where none can be used: this codec has no ref_factory")
    if len(plain) == _USUAL_REF:  # where a reply is waited for, mostly
        _, system, path, host, port, node_id = plain
        if (
            type(port) is int
            and 0 <= port <= MAX_PORT
            and isinstance(system, str)
            and isinstance(path, str)
            and isinstance(host, str)
            and isinstance(node_id, str)
        ):
            return decoder.ref_factory(ActorAddress(system, path, host, port, node_id))
    return decoder.ref_factory(_address(plain))


_USUAL_REF = 6
"""Fields of one that is of no life."""


def _address(plain: list[Plain]) -> ActorAddress:
    _, system, path, host, port, node_id, *life = plain
    incarnation, number = life or (None, None)
    if type(port) is int and not 0 <= port <= MAX_PORT:
        raise EncodingError(f"expected a port up to {MAX_PORT}, found {shown(port)}")
    return ActorAddress(
        _str(system),
        _str(path),
        None if host is None else _str(host),
        None if port is None else _int(port),
        None if node_id is None else _str(node_id),
        None if incarnation is None else _str(incarnation),
        None if number is None else _int(number),
    )


def _str(value: Plain) -> str:
    if not isinstance(value, str):
        raise EncodingError(f"expected a string, found {shown(value, 80)}")
    return value


def _int(value: Plain) -> int:
    if type(value) is not int:
        raise EncodingError(f"expected an integer, found {shown(value, 80)}")
    return value


_DECODERS: tuple[Decode, ...] = (
    _items,
    lambda decoder, plain, depth: tuple(_items(decoder, plain, depth)),
    lambda decoder, plain, depth: _members(decoder, plain, depth, set),
    lambda decoder, plain, depth: _members(decoder, plain, depth, frozenset),
    _pairs,
    _record,
    _enum,
    _record,
    _datetime,
    _text(date.fromisoformat),
    _time,
    _timedelta,
    _text(Decimal),
    _uuid,
    _ref,
    _complex,
    lambda decoder, plain, depth: _members(decoder, plain, depth, FrozenOrderedSet),
)
