"""Files and directories that are there as a whole or not at all: written beside their place, synced, and put there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from casty import runtime as runtimes
from casty.durable.records import Batch
from casty.errors import ConfigError, DiskError
from casty.ports import Device

__all__ = ["new_directory", "new_file", "open_directory", "writer_of"]

UNFINISHED = ".unfinished"


@contextmanager
def new_file(path: str) -> Generator[BinaryIO]:
    """Give a file to write into that takes its place when the block ends well, over what was there; else it is gone.

    Raises
    ------
    ConfigError
        There is no such folder.
    OSError
        The disk does not take it.
    """
    place = Path(path)
    if not place.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {str(place.parent)!r}")
    beside = place.with_name(place.name + UNFINISHED)
    try:
        with open(beside, "w+b", opener=_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(place.parent)


@asynccontextmanager
async def new_directory(path: str) -> AsyncGenerator[tuple[Device, Callable[[], Awaitable[None]]]]:
    """Give a device to write a data directory with, and what puts it in its place.

    The place must be free: nothing, or an empty directory. Unless it is put there, nothing is left.

    Raises
    ------
    ConfigError
        The place is taken.
    DiskError
        It cannot be written.
    """
    place = Path(path)
    beside = place.with_name(place.name + UNFINISHED)
    _make_free(place, beside)
    device = runtimes.current().device(str(beside))
    await device.open()

    async def put_in_place() -> None:
        device.close()
        _put(beside, place)

    try:
        yield device, put_in_place
    finally:
        device.close()
        _remove(beside)


def _make_free(place: Path, beside: Path) -> None:
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"{place}: expected no directory or an empty one, found something in it")
    _remove(beside)  # of a command that was interrupted: it was never in its place


def _remove(beside: Path) -> None:
    if beside.exists():
        for file in beside.iterdir():
            file.unlink()
        beside.rmdir()


def _put(beside: Path, place: Path) -> None:
    _sync_folder(beside)
    if place.exists():
        place.rmdir()
    beside.rename(place)
    _sync_folder(place.parent)


async def open_directory(path: str) -> Device:
    """Take a data directory that is there; raises `ConfigError` where there is none, `DiskError` where it is in use."""
    if not is_directory_of_node(path):
        raise ConfigError(f"{path}: expected the data directory of a node, found no records.db in it")
    device = runtimes.current().device(path)
    await device.open()
    return device


def is_directory_of_node(path: str) -> bool:
    """Whether a node was started with a directory, or it was made for one."""
    return (Path(path) / "records.db").is_file()


def writer_of(device: Device) -> Callable[[Batch], Awaitable[None]]:
    """Return what makes one batch durable at a time; it raises `DiskError`."""

    async def write(batch: Batch) -> None:
        done: asyncio.Future[DiskError | None] = asyncio.get_running_loop().create_future()
        device.commit(batch.changes, done.set_result)
        error = await done
        if error is not None:
            raise error

    return write


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
