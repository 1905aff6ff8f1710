"""The serializer port of a system: the codec by default, pickle only by explicit choice."""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Protocol

from casty.address import ActorAddress
from casty.checks import shown
from casty.errors import EncodingError
from casty.wire.codec import Codec, RefFactory
from casty.wire.registry import Registry

__all__ = ["CodecSerializer", "PickleSerializer", "Serializer"]

_PICKLE_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, RuntimeError, TypeError,
    ValueError, pickle.PickleError,
)  # fmt: skip
"""What a pickle of other classes or broken bytes raises; what the user's classes do is for who calls a serializer."""


class Serializer(Protocol):
    """Turns messages and values into bytes and back. What it raises counts as `EncodingError`.

    Values are compared by their bytes (`Dict.compare_and_set`), so equal values should have equal bytes.
    """

    def serialize(self, obj: object) -> bytes:
        """Return the bytes of a message; raises `EncodingError`."""
        ...

    def deserialize(self, data: bytes, *, ref_factory: RefFactory | None = None) -> object:
        """Return the message of bytes; refs in it are made by `ref_factory`. Raises `EncodingError`."""
        ...


class CodecSerializer:
    """The default: `Codec` behind the `Serializer` protocol."""

    def __init__(self, registry: Registry | None = None, *, strict: bool = False) -> None:
        self._registry = registry
        self._strict = strict
        self._plain = Codec(registry, strict)

    def serialize(self, obj: object) -> bytes:
        """Return the bytes of a message."""
        return self._plain.encode(obj)

    def deserialize(self, data: bytes, *, ref_factory: RefFactory | None = None) -> object:
        """Return the message of bytes."""
        if ref_factory is None:
            return self._plain.decode(data)
        return Codec(self._registry, self._strict, ref_factory).decode(data)


class PickleSerializer:
    """Pickle: any Python object, and any code that a peer likes to run here.

    Only for a network in which every process that can reach the port may run code in this one anyway.
    """

    def __init__(self) -> None:
        warnings.warn(
            "PickleSerializer lets every process that can reach this port run code here; "
            "use the default serializer unless you control them all",
            UserWarning,
            stacklevel=2,
        )

    def serialize(self, obj: object) -> bytes:
        """Return the pickle of a message."""
        buffer = io.BytesIO()
        try:
            _Pickler(buffer, protocol=5).dump(obj)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise EncodingError(f"cannot pickle {type(obj).__qualname__}: {error}") from None
        return buffer.getvalue()

    def deserialize(self, data: bytes, *, ref_factory: RefFactory | None = None) -> object:
        """Return the message of a pickle."""
        try:
            return _Unpickler(io.BytesIO(data), ref_factory).load()
        except _PICKLE_ERRORS as error:
            raise EncodingError(f"cannot unpickle: {shown(error, 200)}") from None


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> ActorAddress | None:
        """Refs travel as addresses."""
        make = getattr(type(obj), "__casty_ref__", None)
        return None if make is None else make(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, ref_factory: RefFactory | None) -> None:
        super().__init__(file)
        self._ref_factory = ref_factory

    def persistent_load(self, pid: object) -> object:
        """Make a ref that works here."""
        if self._ref_factory is None or not isinstance(pid, ActorAddress):
            raise pickle.UnpicklingError("found an actor ref where none can be used")
        return self._ref_factory(pid)
