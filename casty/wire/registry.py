"""Which classes travel, and under which names. Nothing here ever imports a module or calls what it finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from functools import lru_cache
from types import ModuleType
from typing import TypeVar

from casty.errors import EncodingError

__all__ = ["Registry", "default_registry", "is_named_tuple", "message"]

T = TypeVar("T")

_MAIN = ("__main__", "__mp_main__")
"""What Python calls the main program, and a copy of it in a process that `multiprocessing` spawned."""


def is_named_tuple(cls: type) -> bool:
    """Whether a class is a named tuple."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _can_travel(cls: type) -> bool:
    return is_dataclass(cls) or issubclass(cls, Enum) or is_named_tuple(cls)


class Registry:
    """Explicit wire names, both ways.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Paid:
    ...     cents: int
    >>> registry = Registry()
    >>> registry.register(Paid, "shop.paid")
    >>> registry.resolve("shop.paid", strict=True) is Paid
    True

    Notes
    -----
    `_found` has a row per class that was found without a name of its own, and that its module still has or had last.
    """

    __slots__ = ("_found", "_names", "types")

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str, type]] = {}
        self._names: dict[type, str] = {}
        self.types: dict[str, type] = {}
        """By its name on the wire: each class that travelled, or was registered."""

    def register(self, cls: type, name: str) -> None:
        """Let `cls` travel as `name`.

        Raises
        ------
        TypeError
            When it is no dataclass, enum or named tuple.
        ValueError
            When another class has that name already.
        """
        if not _can_travel(cls):
            raise TypeError(
                f"expected a dataclass, enum or named tuple, found {cls.__qualname__}; "
                "write @message above @dataclass, not below"
            )
        if not name:
            raise ValueError(f"expected a wire name for {cls.__qualname__}, found an empty one")
        known = self.types.get(name)
        # The same definition run again (a reload, a function called twice) replaces its former result.
        if known is not None and _path(known) != _path(cls):
            raise ValueError(
                f"wire name {name!r} belongs to {_path(known)} already, so {_path(cls)} needs another"
            )
        self.types[name] = cls
        self._names[cls] = name

    def name_of(self, cls: type, *, strict: bool) -> str:
        """Return the wire name of a class; raises `EncodingError` when it has none that could be resolved."""
        name = self._names.get(cls)
        if name is not None:
            return name
        if strict:
            raise EncodingError(f"{_path(cls)} is not registered; give it @message(name=...)")
        name = _path(cls)
        if name.partition(":")[0] in _MAIN:
            raise EncodingError(
                f"{name} belongs to a program without a file, so no other could find it under any name; give it "
                "@message(name=...), or put it into a module"
            )
        if _find(name)[0] is not cls:
            raise EncodingError(
                f"{name} cannot be found under its module by others (a local or replaced class); "
                "move it to the top of a module or give it @message(name=...)"
            )
        return name

    def resolve(self, name: str, *, strict: bool) -> type:
        """Return the class of a wire name; raises `EncodingError` when there is none."""
        known = self.types.get(name)
        if known is not None:
            return known
        found = None if strict else self._found_again(name) or self._find(name)
        if found is None:
            where = "the registry" if strict else "the registry or a loaded module"
            raise EncodingError(
                f"expected a message class by the name of {name!r} in {where}, found none; import it on this side, or "
                "give it the same @message(name=...) on both"
            )
        return found

    def _found_again(self, name: str) -> type | None:
        """Return the class that was found by a name, if it is still where it was; a reload puts another one there."""
        known = self._found.get(name)
        if known is None:
            return None
        module, attribute, cls = known
        holder = sys.modules.get(module)
        return cls if isinstance(holder, ModuleType) and vars(holder).get(attribute) is cls else None

    def _find(self, name: str) -> type | None:
        """Look a class up in the loaded modules, and remember where it was if that was at the top of one."""
        found, module = _find(name)
        attribute = name.partition(":")[2]
        if found is not None and "." not in attribute:
            self._found[name] = (module, attribute, found)
        return found


def _path(cls: type) -> str:
    """Return ``module:qualname``; a class of the main program has the name by which others would import it."""
    module = cls.__module__
    if module in _MAIN:
        module = _main_name() or module
    return f"{module}:{cls.__qualname__}"


def _main_name() -> str | None:
    """Return the name under which others find the main program's module: what ``-m`` ran, else its file's name."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if not isinstance(file, str):
        return None
    return _stem(file)


@lru_cache(maxsize=8)
def _stem(file: str) -> str:
    """Return a file's name without folders and suffix; asked for each message of a class that nobody registered."""
    last = file.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _find(name: str) -> tuple[type | None, str]:
    """Look a class up in the loaded modules by plain dictionary reads: no import, no attribute hooks.

    Returns
    -------
    tuple
        The class, and the module that has it; None and an empty text for a name without one.
    """
    module_name, colon, qualname = name.partition(":")
    if not colon or module_name in _MAIN:
        return None, ""  # every program has a __main__, and its own
    modules = ("__main__", module_name) if module_name == _main_name() else (module_name,)
    for module in modules:
        found: object = sys.modules.get(module)
        for part in qualname.split("."):
            found = vars(found).get(part) if isinstance(found, (ModuleType, type)) else None
        if isinstance(found, type) and _can_travel(found) and _path(found) == name:
            return found, module
    return None, ""


default_registry = Registry()
"""What `message` fills."""


def message(*, name: str) -> Callable[[type[T]], type[T]]:
    """Give a dataclass, enum or named tuple an explicit wire name, so that it may be moved or renamed later.

    Parameters
    ----------
    name
        The name on the wire, unique in the program and the same in all of them.

    Raises
    ------
    TypeError
        When the class is none of these.
    ValueError
        When another class has the name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @message(name="shop.ordered")
    ... @dataclass(frozen=True)
    ... class Ordered:
    ...     item: str
    """

    def register(cls: type[T]) -> type[T]:
        default_registry.register(cls, name)
        return cls

    return register
