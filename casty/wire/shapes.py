"""How one class travels: the fields it writes, the fields it needs, and how it is made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum, Flag
from inspect import Parameter, signature
from typing import TYPE_CHECKING

from casty.checks import shown
from casty.errors import EncodingError
from casty.limits import MAX_FLAG_BITS
from casty.wire.registry import is_named_tuple

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Shape", "enum_of", "member_name", "shape_of"]


SHOWN_MEMBERS = 20
"""So many names of an enum are told to whoever sends another one."""

MAX_COMBINATIONS = 65_536
"""Combinations of the flags of one class that a process keeps: some 300 bytes each."""

_CONTENT = (list, tuple, dict, set, frozenset, str, bytes, bytearray, int, float, complex)


class Shape:
    """A dataclass or named tuple: fields travel by name, so both sides may add some."""

    __slots__ = ("checked", "cls", "compared", "known", "make", "names", "needed")

    def __init__(
        self,
        cls: type,
        names: list[str],
        needed: list[str],
        compared: list[str],
        checked: tuple[str, ...] = (),
    ) -> None:
        self.cls = cls
        self.checked = checked
        """Fields to compare with those of an object made anew, before one is sent; none where no constructor of the
        user's has a say."""
        self.make: Callable[..., object] = cls
        self.names = tuple(names)
        self.known = dict.fromkeys(names)
        self.needed = tuple(needed)
        self.compared = tuple(sorted(compared))

    def check_key(self) -> None:
        """Raise `EncodingError` unless an object can be made from what counts for equality, which is all of a key."""
        for name in self.needed:
            if name not in self.compared:
                raise EncodingError(
                    f"field {name!r} of {self.cls.__qualname__} is no part of a key (compare=False), so an object "
                    "cannot be made again from one; give it a default, or let it be compared"
                )

    def check(self, value: object, names: tuple[str, ...]) -> None:
        """Raise `EncodingError` unless an object made from these fields, which travel, would equal `value`."""
        try:
            made = self.make(**{name: getattr(value, name) for name in names})
            pairs = [(name, getattr(value, name), getattr(made, name)) for name in self.checked]
            changed = [row for row in pairs if row[1] is not row[2] and row[1] != row[2]]
        except Exception as error:  # constructors and comparisons are the user's, and so is what they raise
            text = f"{self.cls.__qualname__} cannot be made again from its fields: {shown(error, 200)}"
            raise EncodingError(text) from error
        for name, here, there in changed:
            raise EncodingError(
                f"field {name!r} of {self.cls.__qualname__} would not come back: expected what its constructor "
                f"makes, {shown(there, 80)}, found {shown(here, 80)}; "
                "let the constructor take it as it is, or say compare=False"
            )

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
        _refuse_content(cls)
        own = [field for field in fields(cls) if field.init]
        _refuse_init_vars(cls, [field.name for field in own])
        needed = [
            field.name for field in own if field.default is MISSING and field.default_factory is MISSING
        ]
        return Shape(
            cls,
            [field.name for field in own],
            needed,
            [field.name for field in own if field.compare],
            _checked(cls),
        )
    if is_named_tuple(cls):
        names: list[str] = list(getattr(cls, "_fields", ()))
        defaults: dict[str, object] = getattr(cls, "_field_defaults", {})
        # A subclass may have a constructor of its own.
        checked = () if cls.__bases__ == (tuple,) else tuple(names)
        return Shape(cls, names, [name for name in names if name not in defaults], names, checked)
    return None


def _refuse_content(cls: type) -> None:
    """What is a container or scalar besides has a content that is no field."""
    for kind in _CONTENT:
        if issubclass(cls, kind):
            raise EncodingError(
                f"{cls.__qualname__} is a dataclass and a {kind.__name__}: what it has besides its fields would not "
                "come back; make that a field"
            )


def _refuse_init_vars(cls: type, names: list[str]) -> None:
    """What a constructor takes besides fields is kept by no object: it cannot be given again."""
    for name, parameter in signature(cls).parameters.items():
        is_open = parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        if name not in names and not is_open:
            raise EncodingError(
                f"the constructor of {cls.__qualname__} takes {name!r}, which is no field of it (an InitVar?), so an "
                "object cannot be made again on the other side; make it a field"
            )


def _checked(cls: type[DataclassInstance]) -> tuple[str, ...]:
    """Return what to compare: all that counts for equality, where more than the generated constructor makes it."""
    code = getattr(cls.__init__, "__code__", None)
    # Generated code has no file; `dataclass` leaves a constructor alone that is there already.
    is_generated = code is not None and code.co_filename == "<string>" and cls.__new__ is object.__new__
    if is_generated and not hasattr(cls, "__post_init__") and all(field.init for field in fields(cls)):
        return ()
    return tuple(field.name for field in fields(cls) if field.compare)


def member_name(value: Enum) -> str | int:
    """Return what stands for an enum member: its name, or the number of a combination of flags."""
    if isinstance(value, Flag) and type(value).__members__.get(value.name or "") is not value:
        number = int(value.value)
        _check_flags(type(value), number)
        return number
    return str(value.name)


def enum_of(cls: type, name: object) -> Enum:
    """Return the member that `member_name` named."""
    if not issubclass(cls, Enum):
        raise EncodingError(f"expected an enum, found {cls.__qualname__}")
    if type(name) is int and issubclass(cls, Flag):
        return _combination(cls, name)
    member = cls.__members__.get(name) if isinstance(name, str) else None
    if member is None:
        known = ", ".join(list(cls.__members__)[:SHOWN_MEMBERS])
        raise EncodingError(f"expected a member of {cls.__qualname__} ({known}), found {shown(name, 80)}")
    return member


def _check_flags(cls: type[Flag], number: int) -> None:
    bits = max((int(member.value).bit_length() for member in cls.__members__.values()), default=0)
    most = max(bits, MAX_FLAG_BITS)
    if number < 0 or number.bit_length() > most:
        name = cls.__qualname__
        raise EncodingError(f"expected a combination of {name} of at most {most} bits, found {shown(number)}")


def _combination(cls: type[Flag], number: int) -> Flag:
    """Return the combination of flags that a number is; Python keeps each for ever, so that they are bounded."""
    kept = vars(cls)["_value2member_map_"]  # where it does
    if number in kept:
        return cls(number)
    _check_flags(cls, number)
    is_full = len(kept) >= MAX_COMBINATIONS
    if is_full and not issubclass(cls, int):
        raise EncodingError(
            f"expected one of the {MAX_COMBINATIONS} combinations of {cls.__qualname__} that were used so far, found "
            f"{number}, and no more are kept: use a set of enum members for so many flags"
        )
    made = cls(number)
    if is_full:
        kept.pop(number, None)  # an `IntFlag` equals another that is made of the same number
    return made
