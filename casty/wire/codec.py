"""The codec of user values: dataclasses, enums, named tuples, scalars and containers to bytes and back.

Schema evolution, all of it: unknown fields are ignored, missing ones need defaults, and an explicit wire name
lets a class be moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache

from casty.checks import shown
from casty.errors import EncodingError
from casty.limits import MAX_DEPTH
from casty.wire import shapes
from casty.wire.decoding import Decoder, RefFactory
from casty.wire.encoding import SCALARS, CanonicalEncoder, Encoder, KeyEncoder
from casty.wire.pack import pack, unpack
from casty.wire.registry import Registry, default_registry, message

__all__ = ["ENDS_THE_PROCESS", "Codec", "RefFactory", "default_codec", "message"]

ENDS_THE_PROCESS = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What no error of a value is, whoever raises it."""

_MAX_PATH_CHARS = 200


class StaysHere(EncodingError, RuntimeError):
    """What is encoded says itself that it means nothing elsewhere, as a ref of a plain `ActorSystem` does."""


class Codec:
    """Encodes user values.

    Parameters
    ----------
    registry
        Explicit wire names; None: those given with `message`.
    strict
        Take registered classes only. Otherwise a class also resolves as ``module:qualname`` when its module
        is loaded already; nothing is ever imported.
    ref_factory
        Makes an actor ref from its address; without it bytes with refs cannot be decoded.

    Examples
    --------
    >>> codec = Codec()
    >>> codec.decode(codec.encode({"a": (1, 2.5), "b": {3, 4}}))
    {'a': (1, 2.5), 'b': {3, 4}}
    >>> codec.canonical(1) == codec.canonical(1.0)
    False
    """

    __slots__ = ("_compared", "_decoder", "_encoder", "_keys")

    def __init__(
        self, registry: Registry | None = None, strict: bool = False, ref_factory: RefFactory | None = None
    ) -> None:
        known = default_registry if registry is None else registry
        self._encoder = Encoder(known, strict)
        self._keys = KeyEncoder(known, strict)
        self._compared = CanonicalEncoder(known, strict)
        self._decoder = Decoder(known, strict, ref_factory)

    def encode(self, value: object) -> bytes:
        """Return the bytes of a value.

        Raises
        ------
        EncodingError
            When something in it cannot travel; the text names the path to it.
        """
        try:
            if type(value) in SCALARS:
                return pack(value)
            return pack(self._encoder.plain(value))
        except Exception as error:  # properties and constructors are the user's, and so is what they raise
            raise _explain(self._encoder, value, error) from None

    def canonical(self, value: object) -> bytes:
        """Return the bytes that stand for a map key or set member: equal values of one type have equal bytes.

        1, 1.0, True and "1" differ; -0.0 is 0.0; NaN is refused. Fields that dataclasses do not compare are
        left out. What `decode` makes of the bytes equals the value: an aware datetime comes back in UTC.

        Raises
        ------
        EncodingError
            Like `encode`, for NaN, and where what is left out is needed to make an equal value.
        """
        return self._packed(self._keys, value)

    def compared(self, value: object) -> bytes:
        """Return the bytes that `canonical` gives, also of a value that could not be made again from them alone."""
        return self._packed(self._compared, value)

    def _packed(self, encoder: Encoder, value: object) -> bytes:
        try:
            return pack(encoder.plain(value))
        except Exception as error:  # as in `encode`
            raise _explain(encoder, value, error) from None

    def decode(self, data: bytes) -> object:
        """Return the value of bytes.

        Raises
        ------
        EncodingError
            When they are no value, or name a class or a field that this side does not have.
        """
        try:
            plain = unpack(data)
            return plain if type(plain) in SCALARS else self._decoder.value(plain)
        except (EncodingError, *ENDS_THE_PROCESS):
            raise
        except (
            BaseException
        ) as error:  # malformed bytes make Python raise, and classes of the user's what they like
            raise EncodingError(f"cannot decode: {shown(error, 200)}") from None


@cache
def default_codec() -> Codec:
    """Return the codec that knows what `message` named and makes no refs."""
    return Codec()


# -- the way to the offending field, walked only after a failure


def _explain(encoder: Encoder, value: object, error: Exception) -> EncodingError:
    path = "value"
    for _ in range(MAX_DEPTH):
        found = _refused_child(encoder, value)
        if found is None:
            break
        label, value, error = found
        path += label
    if len(path) > _MAX_PATH_CHARS:
        path = path[:_MAX_PATH_CHARS] + "..."
    if isinstance(error, RuntimeError) and not isinstance(error, EncodingError):
        return StaysHere(f"cannot encode {path}: {shown(error, 300)}")
    text = str(error) if isinstance(error, EncodingError) else shown(error, 200)
    return EncodingError(f"cannot encode {path}: {text}")


def _refused_child(encoder: Encoder, value: object) -> tuple[str, object, Exception] | None:
    """Return what the way leads to next: label, value and error; None where it ends, or cannot be walked."""
    try:
        for label, item in _children(value):
            error = _refusal(encoder, item)
            if error is not None:
                return label, item, error
    except Exception:  # the way leads through the user's properties: it ends where they raise
        return None
    return None


def _refusal(encoder: Encoder, value: object) -> Exception | None:
    try:
        pack(encoder.plain(value))
    except Exception as error:  # what refuses it may be the user's
        return error
    return None


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"<key {shown(key, 80)}>", key
            yield f"[{shown(key, 80)}]", item
    elif isinstance(value, (set, frozenset)):
        for item in sorted(value, key=shown):
            yield f"<member {shown(item, 80)}>", item
    elif is_dataclass(value) or hasattr(value, "_fields"):
        shape = shapes.shape_of(type(value))
        for name in () if shape is None else shape.names:
            yield f".{name}", getattr(value, name, None)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
