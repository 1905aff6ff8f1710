"""Checks of what callers pass in: each says what was expected and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from operator import index
from typing import SupportsFloat, cast

__all__ = [
    "check_callable", "check_count", "check_integer", "check_kind", "check_name", "check_seconds", "check_text",
    "check_timeout", "check_ttl", "milliseconds_of", "shown",
]  # fmt: skip

LARGE_BITS = 1_000
"""The text of a longer integer takes the square of its length, and has no end that anybody reads."""

SHOWN_DEPTH = 8

SHORTEST_TTL_S = 0.001
"""Sessions live for whole milliseconds."""

LONGEST_S = 1e30
"""More is not finite in nanoseconds, or soon."""

LONGEST_AGREED_S = 2.0**53
"""Of a time that others have to keep as well, in milliseconds: 285 million years."""


def shown(value: object, most: int = 100) -> str:
    """Return the `repr` of something that is not ours, at most so long, for the text of an error; never raises.

    It is cut before it is built: what is large costs no more than what is shown of it.

    Examples
    --------
    >>> shown("a" * 10, 5)
    "'aaaa"
    >>> shown([1, {"a": 10**5000}], 40)
    "[1, {'a': <int of 16610 bits>}]"
    """
    try:
        return "".join(_pieces(value, most, 0))[:most]
    except Exception as error:  # what raises is another's `repr`
        kind = type(value)
        return f"<{kind.__module__}.{kind.__qualname__}, whose repr raised {type(error).__qualname__}>"


def _pieces(value: object, most: int, depth: int) -> Iterator[str]:
    """Return the parts of a text that is as long as `most` or whole."""
    if isinstance(value, (str, bytes, bytearray)) and len(value) > most:
        yield repr(value[:most])
    elif type(value) is int and value.bit_length() > LARGE_BITS:
        yield f"<int of {value.bit_length()} bits>"
    elif type(value) is dict and depth < SHOWN_DEPTH:
        yield from _cut("{", (_pair(key, item, most, depth) for key, item in value.items()), "}", most)
    elif type(value) is list and depth < SHOWN_DEPTH:
        yield from _cut("[", (_pieces(item, most, depth + 1) for item in value), "]", most)
    elif type(value) is tuple and depth < SHOWN_DEPTH:
        end = ",)" if len(value) == 1 else ")"
        yield from _cut("(", (_pieces(item, most, depth + 1) for item in value), end, most)
    elif isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) > most:
        yield f"<{type(value).__qualname__} of {len(value)}>"
    else:
        yield repr(value)


def _pair(key: object, item: object, most: int, depth: int) -> Iterator[str]:
    yield from _pieces(key, most, depth + 1)
    yield ": "
    yield from _pieces(item, most, depth + 1)


def _cut(begin: str, items: Iterable[Iterator[str]], end: str, most: int) -> Iterator[str]:
    """Return the parts of a container until they are long enough."""
    length = len(begin)
    yield begin
    for number, item in enumerate(items):
        if number:
            length += 2
            yield ", "
        for piece in item:
            length += len(piece)
            yield piece
            if length >= most:
                return
    yield end


def check_integer(name: str, value: int, most_bits: int | None = None) -> int:
    """Return `value` as an int; `TypeError` or `ValueError` unless it is one, of so many bits at most."""
    if type(value) is int:  # the usual case
        integer = value
    else:
        try:
            integer = int(index(value))
        except TypeError:
            raise TypeError(f"{name}: expected an int, found {shown(value)}") from None
    if most_bits is not None and integer.bit_length() > most_bits:
        raise ValueError(
            f"{name}: expected an int of at most {most_bits} bits, found {integer.bit_length()} bits"
        )
    return integer


def check_count(name: str, value: int, least: int, most: int | None = None) -> int:
    """Return `value` as an int; `TypeError` or `ValueError` unless it is one from `least` to `most`."""
    count = check_integer(name, value)
    if count < least:
        raise ValueError(f"{name}: expected at least {least}, found {shown(count)}")
    if most is not None and count > most:
        raise ValueError(f"{name}: expected at most {most}, found {shown(count)}")
    return count


def check_text(text: object, what: str) -> None:
    """Raise `TypeError` or `ValueError` unless it is a text that can travel."""
    if not isinstance(text, str):
        raise TypeError(f"{what}: expected a text, found {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what}: expected a text that UTF-8 can encode, found {shown(text)}") from error


def check_name(name: object, what: str = "name", most_bytes: int | None = None) -> None:
    """Raise `TypeError` or `ValueError` unless it is a text that can name something and travel."""
    check_text(name, what)
    if not name:
        raise ValueError(f"{what}: expected at least one character, found an empty text")
    if most_bytes is not None and len(str(name).encode()) > most_bytes:
        raise ValueError(f"{what}: expected at most {most_bytes} bytes, found {len(str(name).encode())}")


def check_callable(value: object, what: str) -> None:
    """Raise `TypeError` unless it can be called."""
    if not callable(value):
        raise TypeError(f"{what}: expected a function, found {shown(value)}")


def check_kind(value: object, kind: type, what: str) -> None:
    """Raise `TypeError` unless it is None or of a kind."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{what}: expected None or a {kind.__name__}, found {shown(value)}")


def check_timeout(timeout_s: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is None or a number of seconds."""
    if timeout_s is not None:
        _check_seconds(timeout_s, " or None", ", or None to wait for ever")


def check_seconds(seconds: object, what: str = "timeout") -> None:
    """Raise `TypeError` or `ValueError` unless it is a number of seconds."""
    _check_seconds(seconds, "", "", what)


def check_ttl(seconds: object) -> float:
    """Return a time to live in seconds; `TypeError` or `ValueError` unless it is at least a millisecond."""
    _check_seconds(seconds, " or None", ", or None for the cluster's own", "session_ttl_s")
    ttl_s = float(cast(SupportsFloat, seconds))
    if not SHORTEST_TTL_S <= ttl_s <= LONGEST_AGREED_S:
        raise ValueError(
            f"session_ttl_s: expected {SHORTEST_TTL_S} to {LONGEST_AGREED_S:.0f} s, found {shown(seconds)}"
        )
    return ttl_s


def milliseconds_of(seconds: object, what: str) -> int:
    """Return a time that others keep in milliseconds, no less; `TypeError` or `ValueError` unless it is above 0."""
    check_seconds(seconds, what)
    time_s = float(cast(SupportsFloat, seconds))
    if not 0 < time_s <= LONGEST_AGREED_S:
        raise ValueError(
            f"{what}: expected seconds above 0 and up to {LONGEST_AGREED_S:.0f}, found {shown(seconds)}"
        )
    return ceil(time_s * 1000)


def _check_seconds(seconds: object, kind: str, advice: str, what: str = "timeout") -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{what}: expected seconds{kind}, found {shown(seconds)}")
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError(f"{what}: expected finite seconds >= 0{advice}; found {shown(seconds)}")
