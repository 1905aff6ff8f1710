"""Fences around what would leave the simulation, up while a world steps, for the simulating thread only.

Patching reaches what is looked up by name in a module. It does not reach C code that reads the clock by
itself (`datetime.now`), `random.Random()` without a seed, or a function bound elsewhere before (``from time
import time``); the library and the simulator keep off those, which `tests/tidy` checks.
"""

from __future__ import annotations

import builtins
import io
import logging
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from .errors import EscapeError

__all__ = ["fenced"]

_CLOCK = "call casty.runtime.current().clock.now()"
_SLEEP = "await asyncio.sleep() or casty.runtime.current().clock.sleep()"
_WALL = "call casty.runtime.current().clock.wall_s()"
_ENTROPY = "call casty.runtime.current().entropy.below() or .token()"
_TRANSPORT = "use casty.runtime.current().transport"
_THREAD = "use asyncio tasks, or loop.run_in_executor, which runs inline here"
_PROCESS = "add a process with World.add_node"
_FILE = "read files before the world runs"

_RANDOM_NAMES = (
    "random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "triangular",
    "seed", "betavariate", "expovariate", "gammavariate", "gauss", "lognormvariate", "normalvariate",
    "vonmisesvariate", "paretovariate", "weibullvariate", "getrandbits", "randbytes", "_urandom",
    "setstate",
)  # fmt: skip
_CLOCK_NAMES = (
    "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns",
    "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns",
)  # fmt: skip

FENCES: tuple[tuple[object, tuple[str, ...], str], ...] = (
    (time, _CLOCK_NAMES, _CLOCK),
    (time, ("time", "time_ns"), _WALL),
    (time, ("sleep",), _SLEEP),
    (random, _RANDOM_NAMES, _ENTROPY),
    (secrets, ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice"), _ENTROPY),
    (uuid, ("uuid1", "uuid4"), _ENTROPY),
    (os, ("urandom", "getrandom"), _ENTROPY),
    (os, ("fork", "forkpty", "system", "popen", "posix_spawn"), _PROCESS),
    (os, ("open",), _FILE),
    (builtins, ("open",), _FILE),
    (io, ("open",), _FILE),
    (sqlite3, ("connect",), _FILE),
    (subprocess, ("Popen", "run", "call", "check_call", "check_output"), _PROCESS),
    (threading.Thread, ("start",), _THREAD),
    (
        socket,
        ("create_connection", "create_server", "socketpair", "getaddrinfo", "gethostbyname"),
        _TRANSPORT,
    ),
    (socket.socket, ("__init__",), _TRANSPORT),
)


def _name_of(place: object) -> str:
    return str(getattr(place, "__name__", place))


class _State:
    """Which thread simulates, if any does. Fences ask: code imported meanwhile may have kept one of them."""

    thread_id: int | None = None


def _fence(original: Callable[..., Any], what: str, instead: str) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != _State.thread_id:
            return original(*args, **kwargs)
        raise EscapeError(what, instead)

    return guarded


def _fences() -> list[tuple[object, str, Callable[..., Any], Callable[..., Any]]]:
    found: list[tuple[object, str, Callable[..., Any], Callable[..., Any]]] = []
    for place, names, instead in FENCES:
        for name in names:
            original = getattr(place, name, None)
            if original is not None:
                found.append((place, name, original, _fence(original, f"{_name_of(place)}.{name}", instead)))
    return found


def _real_time_module() -> SimpleNamespace:
    """Return what `logging` may use of `time`: the conversions; the clock is replaced."""
    names = [name for name in dir(time) if not name.startswith("_")]
    return SimpleNamespace(**{name: getattr(time, name) for name in names})


_LOGGING_TIME = _real_time_module()


@contextmanager
def fenced(wall_s: Callable[[], float]) -> Generator[None, None, None]:
    """Raise the fences; inside, `logging` stamps records with `wall_s` (seconds since 1970)."""
    raised = _fences()
    outer = _State.thread_id
    # Around the fences: a finalizer that logs may run at any line of this.
    with _virtual_logging(wall_s):
        try:
            _State.thread_id = threading.get_ident()
            for place, name, _, fence in raised:
                setattr(place, name, fence)
            yield
        finally:
            for place, name, original, _ in raised:
                setattr(place, name, original)
            _State.thread_id = outer


@contextmanager
def _virtual_logging(wall_s: Callable[[], float]) -> Generator[None, None, None]:
    before: ModuleType = logging.__dict__["time"]
    virtual = SimpleNamespace(**vars(_LOGGING_TIME))
    virtual.time = wall_s
    virtual.time_ns = lambda: int(wall_s() * 1_000_000_000)
    logging.__dict__["time"] = virtual
    try:
        yield
    finally:
        logging.__dict__["time"] = before
