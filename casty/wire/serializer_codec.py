"""A user's serializer in the place of the codec.

Its bytes begin with one that msgpack never uses, so both kinds can be told apart: what was written without
a serializer, and what the library itself sends, is read by the codec on every side. Keys and members are
always the codec's: whether two of them are the same must not depend on who asks.
"""

from __future__ import annotations

from typing import Protocol

from casty.checks import shown
from casty.errors import EncodingError
from casty.wire.codec import ENDS_THE_PROCESS, Codec, RefFactory
from casty.wire.serializer import Serializer

__all__ = ["SerializerCodec", "ValueCodec", "check_serializer", "codec_of"]

MARK = b"\xc1"
"""Before a serializer's bytes."""


class ValueCodec(Protocol):
    """Values to bytes and back."""

    def encode(self, value: object) -> bytes:
        """Return the bytes of a value; raises `EncodingError`."""
        ...

    def canonical(self, value: object) -> bytes:
        """Return the bytes that decide whether two keys are the same; raises `EncodingError`."""
        ...

    def decode(self, data: bytes) -> object:
        """Return the value of bytes; raises `EncodingError`."""
        ...


class SerializerCodec:
    """A serializer behind the interface of `Codec`.

    Parameters
    ----------
    serializer
        The user's.
    ref_factory
        Makes an actor ref from its address.
    own
        Exactly these classes are the library's own messages, which a serializer need not know.
    """

    def __init__(self, serializer: Serializer, ref_factory: RefFactory, own: tuple[type, ...] = ()) -> None:
        self._serializer = serializer
        self._ref_factory = ref_factory
        self._own = own
        self._codec = Codec(ref_factory=ref_factory)
        self.canonical = self._codec.canonical

    def encode(self, value: object) -> bytes:
        """Return the bytes of a value; raises `EncodingError`."""
        if type(value) in self._own:
            return self._codec.encode(value)
        try:
            return MARK + _bytes(self._serializer.serialize(value))
        except EncodingError:
            raise
        except Exception as error:  # libraries have errors of their own: zlib.error, struct.error
            raise EncodingError(
                f"cannot serialize {type(value).__qualname__}: {shown(error, 200)}"
            ) from error

    def decode(self, data: bytes) -> object:
        """Return the value of bytes; raises `EncodingError`."""
        if data[:1] != MARK:
            return self._codec.decode(data)
        try:
            return self._serializer.deserialize(data[1:], ref_factory=self._ref_factory)
        except (EncodingError, *ENDS_THE_PROCESS):
            raise
        except (
            BaseException
        ) as error:  # to deserialize may run anything, and nothing of that ends the reader of a link
            raise EncodingError(f"cannot deserialize: {shown(error, 200)}") from error


def _bytes(data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    raise EncodingError(f"expected bytes of the serializer, found {type(data).__name__}")


def check_serializer(serializer: object) -> None:
    """Raise `TypeError` unless it is None or has the two methods of a `Serializer`."""
    if serializer is None:
        return
    if isinstance(serializer, type) or not (
        callable(getattr(serializer, "serialize", None))
        and callable(getattr(serializer, "deserialize", None))
    ):
        raise TypeError(
            f"serializer: expected an object with serialize and deserialize, found {shown(serializer)}"
        )


def codec_of(
    serializer: Serializer | None, ref_factory: RefFactory, own: tuple[type, ...] = ()
) -> ValueCodec:
    """Return the codec of a system: its serializer's, or the default one."""
    if serializer is None:
        return Codec(ref_factory=ref_factory)
    return SerializerCodec(serializer, ref_factory, own)
