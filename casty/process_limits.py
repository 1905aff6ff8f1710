"""What this process may use: memory (the least of the machine's, its control groups' and its own), descriptors."""

from __future__ import annotations

import os
import resource
from pathlib import Path

__all__ = ["descriptor_limit", "memory_limit_bytes"]

_MANY = 1 << 20
_UNLIMITED = 1 << 60
"""Control groups of the first version say a number near 2^63 where there is no limit."""


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that this process may use before the system refuses it memory or kills it.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.

    Notes
    -----
    Address space counts like memory: a process that may not map more gets `MemoryError` at that point.
    """
    limits = [_machine_bytes(), *_process_limits(), *_control_group_limits(root)]
    return min(limit for limit in limits if limit > 0)


def descriptor_limit() -> int:
    """Return how many files and sockets this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MANY if soft == resource.RLIM_INFINITY else min(soft, _MANY)


def _machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _process_limits() -> list[int]:
    soft = [resource.getrlimit(name)[0] for name in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in soft if limit != resource.RLIM_INFINITY]


def _control_group_limits(root: Path) -> list[int]:
    """Return the limits of this process's control group and of all groups above it, in both versions."""
    found: list[int] = []
    for line in _lines(root / "proc/self/cgroup"):
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, controllers, path = parts
        if not controllers:
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        # Inside a container its own group is often mounted as the root: ask every level that is there.
        for level in (group, *group.parents):
            found += [
                int(text)
                for text in _lines(base / level / name)
                if text.isdecimal() and 0 < int(text) < _UNLIMITED
            ]
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        # Not there on this system, or not readable from here: then it says nothing.
        return []
