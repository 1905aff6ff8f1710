"""What a forked child must not keep: sockets, and locks of files. The system has them until no process has them.

A program forks without much thought: `multiprocessing` and `ProcessPoolExecutor` do, by default before Python 3.14. Its
workers outlive it where it is killed. With a copy of its sockets they would keep its port, and the other end of a link
that it closed would learn of that by silence only. With the lock of its data directory they would keep its successor
from starting.

In the child each such descriptor becomes one of nothing. It is not closed: whatever object has it there closes it once
more, and that number may be another file's by then.
"""

from __future__ import annotations

import os

__all__ = ["keep_from_children"]

_kept: dict[int, tuple[int, int]] = {}
"""Descriptors, each with what tells in the child whether it is that file yet; as many rows as were open at once."""


def keep_from_children(descriptor: int) -> None:
    """See that processes that are forked from now on do not have an open file of this one.

    Nothing has to be said when it is closed: what has its number later is another file. Of one that is closed by
    now, as its number below 0 says, there is nothing to keep.
    """
    if descriptor >= 0:
        _kept[descriptor] = _file_of(descriptor)


def _file_of(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _forked() -> None:
    """Drop them, in the child."""
    if not _kept:
        return
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor, file in _kept.items():
        try:
            if _file_of(descriptor) == file:
                os.dup2(nowhere, descriptor, inheritable=False)
        except OSError:
            continue  # it was closed
    os.close(nowhere)
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
