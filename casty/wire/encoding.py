"""User values to plain ones. An array on the wire begins with a tag; scalars and dictionaries with string
keys are bare.

Building one plain tree and packing it once is several times faster than packing nested values one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

from casty.address import ActorAddress
from casty.checks import shown
from casty.errors import EncodingError
from casty.limits import MAX_DEPTH, MAX_ITEMS, MAX_PORT, MAX_SAME_HASH
from casty.ordered import FrozenOrderedSet
from casty.wire import shapes
from casty.wire.pack import Plain, pack
from casty.wire.registry import Registry
from casty.wire.shapes import Shape

__all__ = ["SCALARS", "CanonicalEncoder", "Encoder", "KeyEncoder", "check_spread"]

SCALARS = frozenset((type(None), bool, int, float, str, bytes))
_HASHED_SCALARS = SCALARS - {float}

# Tags are part of the wire version: they are never reused for something else.
LIST, TUPLE, SET, FROZENSET, PAIRS, RECORD, ENUM, NAMED_TUPLE = range(8)
DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID_, REF, COMPLEX = range(8, 16)
ORDERED_SET = 16

Encode = Callable[["Encoder", Any, int], Plain]


class Encoder:
    """Turns user values into plain trees.

    Parameters
    ----------
    registry
        Explicit names.
    strict
        Whether only those may travel.
    """

    __slots__ = ("_encoders", "_registry", "_strict", "scalars")
    comes_back: ClassVar[bool] = True
    """Whether somebody decodes what is written, so that it has to equal what it was made of."""

    def __init__(self, registry: Registry, strict: bool) -> None:
        self._registry = registry
        self._strict = strict
        self._encoders = dict(_ENCODERS)
        self.scalars = SCALARS

    def plain(self, value: object, depth: int = 0) -> Plain:
        """Return the plain tree of a value; raises `EncodingError`."""
        kind = type(value)
        if kind in self.scalars:
            return value
        if depth > MAX_DEPTH:
            raise EncodingError(f"expected at most {MAX_DEPTH} nested levels (is it part of itself?)")
        encode = self._encoders.get(kind)
        if encode is None:
            encode = self._encoders[kind] = self._learn(kind)
        return encode(self, value, depth + 1)

    def _learn(self, kind: type) -> Encode:
        if hasattr(kind, "__casty_ref__"):
            return _ref
        if issubclass(kind, Enum):
            name = self._registry.name_of(kind, strict=self._strict)
            return lambda encoder, value, depth: [ENUM, name, shapes.member_name(value)]
        shape = shapes.shape_of(kind)
        if shape is None:
            raise EncodingError(
                f"{kind.__module__}.{kind.__qualname__} cannot travel: expected a dataclass, enum, "
                "named tuple, actor ref, or a usual scalar or container (exactly, not a subclass of one)"
            )
        tag, names = NAMED_TUPLE if issubclass(kind, tuple) else RECORD, self.fields_of(shape)
        encode = _record(tag, self._registry.name_of(kind, strict=self._strict), names)
        return _checked(shape, names, encode) if shape.checked and self.comes_back else encode

    def fields_of(self, shape: Shape) -> tuple[str, ...]:
        """Which fields of a class are written."""
        return shape.names


class CanonicalEncoder(Encoder):
    """Turns equal values into equal trees, whoever has them. Values of different types stay different."""

    __slots__ = ()
    comes_back: ClassVar[bool] = False

    def __init__(self, registry: Registry, strict: bool) -> None:
        super().__init__(registry, strict)
        self._encoders |= _CANONICAL
        self.scalars = _HASHED_SCALARS

    def fields_of(self, shape: Shape) -> tuple[str, ...]:
        """Which fields of a class make its values equal."""
        return shape.compared


class KeyEncoder(CanonicalEncoder):
    """The same trees, of what a decoder makes equal values of: keys and members are read as well."""

    __slots__ = ()
    comes_back: ClassVar[bool] = True

    def fields_of(self, shape: Shape) -> tuple[str, ...]:
        """Which fields of a class make its values equal, if they suffice to make one."""
        shape.check_key()
        return shape.compared


# -- what every client writes


def _record(tag: int, name: str, fields: tuple[str, ...]) -> Encode:
    def encode(encoder: Encoder, value: object, depth: int) -> Plain:
        plain: dict[str, Plain] = {}
        scalars = encoder.scalars
        for field in fields:
            item = getattr(value, field)
            plain[field] = item if type(item) in scalars else encoder.plain(item, depth)
        return [tag, name, plain]

    return encode


def _checked(shape: Shape, names: tuple[str, ...], encode_fields: Encode) -> Encode:
    def encode(encoder: Encoder, value: object, depth: int) -> Plain:
        shape.check(value, names)
        return encode_fields(encoder, value, depth)

    return encode


def _check_items(count: int) -> None:
    """Refuse a container that no decoder takes; its tag counts as well."""
    if count >= MAX_ITEMS:
        raise EncodingError(f"expected fewer than {MAX_ITEMS} items in one container, found {count}")


def check_spread(keys: Collection[object]) -> None:
    """Refuse keys of which many share a hash: putting them into one table takes the square of their number.

    Equal hashes are easy to find for integers, and come by accident with no type that spreads its own.
    """
    if len(keys) <= MAX_SAME_HASH:
        return
    hashes = list(map(hash, keys))
    if len(keys) - len(set(hashes)) <= MAX_SAME_HASH:
        return
    compared = sum(count * (count - 1) // 2 for count in Counter(hashes).values())
    if compared > MAX_SAME_HASH * len(keys):
        raise EncodingError(
            f"expected at most {MAX_SAME_HASH} comparisons a key with hashes that others have, found {compared} for "
            f"{len(keys)} keys"
        )


def _items(tag: int) -> Encode:
    def encode(encoder: Encoder, value: Collection[object], depth: int) -> Plain:
        scalars, plain = encoder.scalars, encoder.plain
        _check_items(len(value))
        if tag == ORDERED_SET:
            check_spread(value)
        return [tag, *[item if type(item) in scalars else plain(item, depth) for item in value]]

    return encode


def _members(tag: int) -> Encode:
    def encode(encoder: Encoder, value: set[object], depth: int) -> Plain:
        # The order of a set is nobody's; that of the encoded members is the same everywhere.
        _check_items(len(value))
        check_spread(value)
        return [tag, *sorted((encoder.plain(item, depth) for item in value), key=pack)]

    return encode


def _dict(encoder: Encoder, value: dict[object, object], depth: int) -> Plain:
    scalars, plain = encoder.scalars, encoder.plain
    _check_items(len(value))
    found: dict[str, Plain] = {}
    for key, item in value.items():
        if type(key) is not str:
            return _pairs(encoder, value, depth)
        found[key] = item if type(item) in scalars else plain(item, depth)
    return found


def _pairs(encoder: Encoder, value: dict[object, object], depth: int) -> list[Plain]:
    plain = encoder.plain
    _check_items(2 * len(value))
    check_spread(value)
    found: list[Plain] = [PAIRS]
    for key, item in value.items():
        found.append(plain(key, depth))
        found.append(plain(item, depth))
    return found


def _ref(encoder: Encoder, value: Any, depth: int) -> Plain:
    del encoder, depth
    address = value.__casty_ref__()
    assert isinstance(address, ActorAddress), "__casty_ref__ returns an actor's address"
    if address.port is not None and not 0 <= address.port <= MAX_PORT:
        raise EncodingError(f"expected a port up to {MAX_PORT}, found {shown(address.port)}")
    row: list[Plain] = [REF, address.system, address.path, address.host, address.port, address.node_id]
    if address.incarnation is not None or address.number is not None:
        row += [address.incarnation, address.number]
    return row


def _text(tag: int, text: Callable[[Any], str]) -> Encode:
    return lambda encoder, value, depth: [tag, text(value)]


def _datetime(encoder: Encoder, value: datetime, depth: int) -> Plain:
    # Aware instants travel with their offset from UTC: the zone's name would have to be looked up in files.
    del encoder, depth
    return [DATETIME, value.isoformat(), value.fold]


def _time(encoder: Encoder, value: time, depth: int) -> Plain:
    del encoder, depth
    if value.tzinfo is not None and value.utcoffset() is None:
        raise EncodingError(f"the offset of {value!r} depends on a day; send a datetime")
    return [TIME, value.isoformat(), value.fold]


def _timedelta(encoder: Encoder, value: timedelta, depth: int) -> Plain:
    del encoder, depth
    return [TIMEDELTA, value.days, value.seconds, value.microseconds]


_ENCODERS: dict[type, Encode] = {
    list: _items(LIST),
    tuple: _items(TUPLE),
    set: _members(SET),
    frozenset: _members(FROZENSET),
    FrozenOrderedSet: _items(ORDERED_SET),
    dict: _dict,
    datetime: _datetime,
    date: _text(DATE, date.isoformat),
    time: _time,
    timedelta: _timedelta,
    Decimal: _text(DECIMAL, str),
    UUID: lambda encoder, value, depth: [UUID_, value.bytes],
    complex: lambda encoder, value, depth: [COMPLEX, value.real, value.imag],
}


# -- what is compared


def _canonical_float(encoder: Encoder, value: float, depth: int) -> Plain:
    del encoder, depth
    if value != value:
        raise EncodingError("NaN equals nothing, itself included, so it cannot be a key or a member")
    return value + 0.0  # -0.0 becomes 0.0


def _canonical_complex(encoder: Encoder, value: complex, depth: int) -> Plain:
    return [COMPLEX, encoder.plain(value.real, depth), encoder.plain(value.imag, depth)]


def _canonical_decimal(encoder: Encoder, value: Decimal, depth: int) -> Plain:
    del encoder, depth
    if value.is_nan():
        raise EncodingError("NaN equals nothing, itself included, so it cannot be a key or a member")
    if value.is_infinite():
        return [DECIMAL, str(value)]
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).strip("0")
    if not text:
        return [DECIMAL, "0"]
    assert isinstance(exponent, int), "only NaN and infinity have no exponent"
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return [DECIMAL, f"{'-' * sign}{text}E{exponent + zeros}"]


def _canonical_dict(encoder: Encoder, value: dict[object, object], depth: int) -> Plain:
    flat = _pairs(encoder, value, depth)
    pairs = sorted(zip(flat[1::2], flat[2::2], strict=True), key=lambda pair: pack(pair[0]))
    return [PAIRS, *[item for pair in pairs for item in pair]]


def _canonical_datetime(encoder: Encoder, value: datetime, depth: int) -> Plain:
    del encoder, depth
    offset = value.utcoffset()
    if offset is not None:
        try:
            return [DATETIME, value.astimezone(UTC).replace(tzinfo=None).isoformat(), "utc"]
        except OverflowError:  # in UTC it lies before the year 1 or after 9999
            since = value.replace(tzinfo=UTC) - datetime.min.replace(tzinfo=UTC) - offset
            return [DATETIME, since // timedelta(microseconds=1), "utc"]
    return [DATETIME, value.replace(tzinfo=None).isoformat()]


def _canonical_time(encoder: Encoder, value: time, depth: int) -> Plain:
    del encoder, depth
    offset = value.utcoffset()
    if offset is None:
        return [TIME, value.replace(tzinfo=None).isoformat()]
    since = timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    return [TIME, (since - offset) // timedelta(microseconds=1)]


_CANONICAL: dict[type, Encode] = {
    FrozenOrderedSet: _members(FROZENSET),
    float: _canonical_float,
    complex: _canonical_complex,
    Decimal: _canonical_decimal,
    dict: _canonical_dict,
    datetime: _canonical_datetime,
    time: _canonical_time,
}
