"""Reads a decoded JSON document strictly: every stray, missing or ill-typed field is named by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["PlanError", "Reader"]

_NOTHING = object()


class PlanError(ValueError):
    """A plan is malformed; `path` says where."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class Reader:
    """One object of a document; `end` refuses what was not read.

    Parameters
    ----------
    plain
        The decoded object.
    path
        Where it is, for errors.
    """

    def __init__(self, plain: object, path: str) -> None:
        if not isinstance(plain, Mapping):
            raise PlanError(path, f"expected an object, found {type(plain).__name__}")
        self._plain: Mapping[object, object] = plain
        self._path = path
        self._read: dict[str, None] = {}

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self._path}.{name}"

    def has(self, name: str) -> bool:
        """Whether a field is there."""
        return name in self._plain

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return [str(name) for name in self._plain]

    def _value(self, name: str) -> object:
        self._read[name] = None
        value = self._plain.get(name, _NOTHING)
        if value is _NOTHING:
            raise PlanError(self.at(name), "is missing")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an integer within bounds."""
        value = self._value(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise PlanError(self.at(name), f"expected an integer from {low} to {high}, found {value!r:.60}")
        return value

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._value(name)
        if not isinstance(value, str) or not value:
            raise PlanError(self.at(name), f"expected a text, found {value!r:.60}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._value(name)
        if not isinstance(value, bool):
            raise PlanError(self.at(name), f"expected true or false, found {value!r:.60}")
        return value

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """Return one of some texts."""
        value = self.text(name)
        if value not in known:
            raise PlanError(self.at(name), f"expected one of {list(known)}, found {value!r:.60}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._value(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise PlanError(self.at(name), f"expected a list of texts, found {value!r:.60}")
        return tuple(value)

    def child(self, name: str) -> Reader:
        """Return a reader of an object within this one."""
        return Reader(self._value(name), self.at(name))

    def rows(self, name: str, most: int) -> list[Reader]:
        """Return readers of a list of objects."""
        value = self._value(name)
        if not isinstance(value, list) or len(value) > most:
            raise PlanError(self.at(name), f"expected a list of at most {most} objects")
        return [Reader(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value)]

    def pair(self, name: str) -> tuple[int, int]:
        """Return a list of two integers."""
        value = self._value(name)
        if not isinstance(value, list) or [type(item) for item in value] != [int, int]:
            raise PlanError(self.at(name), f"expected two integers, found {value!r:.60}")
        return value[0], value[1]

    def trigger(self, name: str, known: Sequence[str]) -> tuple[str, int, int]:
        """Return a list of an event's name, a count from 1 and a delay."""
        value = self._value(name)
        if isinstance(value, list) and [type(item) for item in value] == [str, int, int]:
            what, count, delay = value
            if what in known and count >= 1 and delay >= 0:
                return what, count, delay
        raise PlanError(self.at(name), f"expected [one of {list(known)}, count, delay], found {value!r:.60}")

    def integers(self) -> dict[str, int]:
        """Return all fields, which have to be integers."""
        return {name: self.integer(name, -(1 << 63), 1 << 63) for name in self.names()}

    def scalars(self) -> dict[str, int | float | str]:
        """Return all fields, which have to be numbers or texts."""
        found: dict[str, int | float | str] = {}
        for name in self.names():
            value = self._value(name)
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise PlanError(self.at(name), f"expected a number or a text, found {value!r:.60}")
            found[name] = value
        return found

    def plain_values(self) -> dict[str, int | str | bool | None]:
        """Return all fields, which have to be integers, texts, booleans or null."""
        found: dict[str, int | str | bool | None] = {}
        for name in self.names():
            value = self._value(name)
            if value is not None and not isinstance(value, int | str):
                raise PlanError(
                    self.at(name), f"expected an integer, a text, true, false or null, found {value!r:.60}"
                )
            found[name] = value
        return found

    def end(self) -> None:
        """Refuse fields that nobody read."""
        strays = [name for name in self.names() if name not in self._read]
        if strays:
            raise PlanError(self._path, f"unknown fields {strays}; expected {list(self._read)}")
