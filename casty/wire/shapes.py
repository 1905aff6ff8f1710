"""How one class travels: the fields it writes, the fields it needs, and how it is made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, Flag

from casty.errors import EncodingError
from casty.wire.registry import is_named_tuple

__all__ = ["Shape", "enum_of", "member_name", "shape_of"]


class Shape:
    """A dataclass or named tuple: fields travel by name, so both sides may add some."""

    __slots__ = ("cls", "compared", "known", "make", "names", "needed")

    def __init__(self, cls: type, names: list[str], needed: list[str], compared: list[str]) -> None:
        self.cls = cls
        self.make: Callable[..., object] = cls
        self.names = tuple(names)
        self.known = dict.fromkeys(names)
        self.needed = tuple(needed)
        self.compared = tuple(sorted(compared))

    def build(self, values: dict[str, object]) -> object:
        """Call the field constructor: unknown fields are ignored, missing ones need a default."""
        known = self.known
        if values.keys() == known.keys():
            return self.make(**values)
        values = {name: value for name, value in values.items() if name in known}
        for name in self.needed:
            if name not in values:
                raise EncodingError(
                    f"expected field {name!r} of {self.cls.__qualname__}, found none; give it a default here"
                )
        return self.make(**values)


def shape_of(cls: type) -> Shape | None:
    """Return the shape of a dataclass or named tuple; None for any other class."""
    if is_dataclass(cls):
        params = getattr(cls, "__dataclass_params__", None)
        if params is not None and not params.init:
            raise EncodingError(
                f"{cls.__qualname__} has no field constructor (init=False), so it cannot travel"
            )
        own = [field for field in fields(cls) if field.init]
        needed = [
            field.name for field in own if field.default is MISSING and field.default_factory is MISSING
        ]
        return Shape(
            cls, [field.name for field in own], needed, [field.name for field in own if field.compare]
        )
    if is_named_tuple(cls):
        names: list[str] = list(getattr(cls, "_fields", ()))
        defaults: dict[str, object] = getattr(cls, "_field_defaults", {})
        return Shape(cls, names, [name for name in names if name not in defaults], names)
    return None


def member_name(value: Enum) -> str | int:
    """Return what stands for an enum member: its name, or the number of a combination of flags."""
    if isinstance(value, Flag) and type(value).__members__.get(value.name or "") is not value:
        return int(value.value)
    return str(value.name)


def enum_of(cls: type, name: object) -> Enum:
    """Return the member that `member_name` named."""
    if not issubclass(cls, Enum):
        raise EncodingError(f"expected an enum, found {cls.__qualname__}")
    if type(name) is int and issubclass(cls, Flag):
        return cls(name)
    member = cls.__members__.get(name) if isinstance(name, str) else None
    if member is None:
        known = ", ".join(cls.__members__)
        raise EncodingError(f"expected a member of {cls.__qualname__} ({known}), found {name!r:.80}")
    return member
