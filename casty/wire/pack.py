"""Plain values to bytes and back: msgpack with every limit explicit (`limits.py`), packers that are used again.

Plain values are None, booleans, integers of any size, floats, strings, bytes, lists, tuples (read back as
lists) and dictionaries with string keys. Anything richer is the business of `codec`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack

from casty.checks import shown
from casty.errors import EncodingError, RemoteProtocolError
from casty.limits import MAX_BYTES, MAX_ITEMS

__all__ = ["Plain", "claimed_items", "pack", "pack_before", "unpack"]

Plain = object
"""None, bool, int, float, str, bytes, or a list or dictionary of such: never anything else."""

_BIG_INT = 1
_NO_BYTES, _LONG_BYTES = b"\xc4\x00", b"\xc6"
"""How bytes begin: none, whole; more than 65,535, before their number in four bytes."""
# What msgpack would silently turn into its own Timestamp: the reserved extension in its three sizes.
_TIMESTAMP_32, _TIMESTAMP_64, _TIMESTAMP_96 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"


def _pack_extension(value: object) -> msgpack.ExtType:
    if type(value) is int:
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    raise TypeError(f"expected a plain value, found {type(value).__module__}.{type(value).__qualname__}")


def _unpack_extension(code: int, data: bytes) -> int:
    if code != _BIG_INT:
        raise ValueError(f"expected no extension but {_BIG_INT}, found {code}")
    return int.from_bytes(data, "big", signed=True)


def _new_packer() -> msgpack.Packer:
    return msgpack.Packer(default=_pack_extension, use_bin_type=True)


_limits: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "ext_hook": _unpack_extension,
    "max_str_len": MAX_BYTES,
    "max_bin_len": MAX_BYTES,
    "max_ext_len": MAX_BYTES,
    "max_array_len": MAX_ITEMS,
    "max_map_len": MAX_ITEMS,
}
# Bound once: passing eight limits by keyword at each call costs as much as the unpacking.
_unpack: Callable[[bytes], object] = partial(msgpack.unpackb, **_limits)


# A one-shot packb would build a packer with a large buffer for each call. Loops in other threads pack as well, and a
# packer that calls back (for a large integer) or meets the garbage collector lets them run: so each call takes a packer
# that nobody else has, and gives it back. Both are single steps of the interpreter.
_idle = [_new_packer()]


def pack(value: Plain) -> bytes:
    """Return the bytes of a plain value.

    Raises
    ------
    EncodingError
        When something in it is not plain, or longer than `unpack` takes.

    Examples
    --------
    >>> unpack(pack([1, -(2**70), "a", b"b", None]))
    [1, -1180591620717411303424, 'a', b'b', None]
    """
    try:
        packer = _idle.pop()
    except IndexError:
        packer = _new_packer()
    try:
        data = packer.pack(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodingError(f"cannot pack: {error}") from None
    _idle.append(packer)
    # What is too long takes more bytes than it has items: what is usual costs one comparison.
    if len(data) > MAX_ITEMS:
        _check_lengths(value)
    return data


def pack_before(value: Plain, size_bytes: int) -> bytes:
    """Return what stands before bytes that are the last of what is in `value`, where those are sent apart.

    Parameters
    ----------
    value
        With empty bytes in their place: the last item of the last item, and so on.
    size_bytes
        How many will follow, more than 65,535.

    Examples
    --------
    >>> long = bytes(70_000)
    >>> pack_before([1, [2, b""]], len(long)) + long == pack([1, [2, long]])
    True
    """
    data = pack(value)
    assert data.endswith(_NO_BYTES), "empty bytes come last"
    if size_bytes > MAX_BYTES:
        raise EncodingError(f"expected at most {MAX_BYTES} bytes in one string, found {size_bytes}")
    return data[: -len(_NO_BYTES)] + _LONG_BYTES + size_bytes.to_bytes(4, "big")


def _check_lengths(value: Plain) -> None:
    """Raise `EncodingError` for what `unpack` would not take back."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, (bytes, str)):
            if len(item) > MAX_BYTES or (isinstance(item, str) and len(item.encode()) > MAX_BYTES):
                raise EncodingError(f"expected at most {MAX_BYTES} bytes in one string, found {len(item)}")
        elif isinstance(item, (list, tuple, dict)):
            if len(item) > MAX_ITEMS:
                raise EncodingError(f"expected at most {MAX_ITEMS} items in one list, found {len(item)}")
            pending.extend(item)
            pending.extend(item.values() if isinstance(item, dict) else ())


def unpack(data: bytes) -> Plain:
    """Return the plain value that the whole of `data` is.

    Raises
    ------
    RemoteProtocolError
        For anything else: truncated or trailing bytes, nesting too deep, unknown extensions, keys that are
        no strings.
    """
    if len(data) <= MAX_ITEMS:
        try:
            # Where no limits are given, no length may be more than that of all data: no more than ours.
            value: Plain = msgpack.unpackb(data, ext_hook=_unpack_extension)
        except _UNREADABLE:
            value = _unpack_whole(data)  # which says what is wrong by our limits, not by that length
    else:
        value = _unpack_whole(data)
    # One cheap scan for the byte that all three share keeps the usual frame off the slow road.
    if (
        0xFF in data  # of a number, for it costs a fifth of the search for bytes
        # Not `any` of a generator: proofs of sessions are random, so many a frame has that byte.
        and (_TIMESTAMP_32 in data or _TIMESTAMP_64 in data or _TIMESTAMP_96 in data)
        and _has_timestamp(value)
    ):
        raise RemoteProtocolError("expected no extension but ours, found a msgpack timestamp")
    return value


_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)


def _unpack_whole(data: bytes) -> Plain:
    """Return the value of data of any length, or say why there is none."""
    try:
        value: Plain = _unpack(data)
    except _UNREADABLE as error:
        # Some of these errors hold the value, of any size: a number with more digits than are ever turned into a text.
        text = f"expected one msgpack value, found {_describe(data)}: {shown(error, 200)}"
        raise RemoteProtocolError(text) from None
    return value


def claimed_items(data: bytes) -> int:
    """Return how many items the list claims to have that `data` is; 0 for anything else. It costs nothing.

    Examples
    --------
    >>> claimed_items(pack(list(range(20)))), claimed_items(pack("a"))
    (20, 0)
    """
    first = data[0] if data else 0
    if 0x90 <= first <= 0x9F:
        return first & 0x0F
    size_bytes = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return int.from_bytes(data[1 : 1 + size_bytes], "big")


def _describe(data: bytes) -> str:
    return f"{len(data)} bytes beginning {data[:16]!r}"


def _has_timestamp(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if type(item) is list:
            pending.extend(item)
        elif type(item) is dict:
            pending.extend(item.values())
        elif type(item) is msgpack.Timestamp:
            return True
    return False
