"""``casty salvage``: what a survivor without a data directory has becomes one, for ``casty recover``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from casty.cli.places import new_directory, writer_of
from casty.cli.status import WaitQueue, access_of, open_line
from casty.durable.records import Batch
from casty.errors import ConfigError, ProtocolError, RecoveryError
from casty.wire import frames

__all__ = ["page_of", "run_salvage"]


def run_salvage(options: argparse.Namespace) -> int:
    """Ask, and take what the node has; the node ends. 1 when the operator does not agree."""
    where = f"{options.contact[0]}:{options.contact[1]}"
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                "casty salvage: nobody is there to agree; say --yes to go on without a question"
            )
        if input(f"The node at {where} ends for good. Type yes to go on: ").strip() != "yes":
            print("nothing was changed", file=sys.stderr)
            return 1
    records = asyncio.run(_salvage(options))
    print(
        f"{options.directory}: {records} records of the node at {where}, which has ended; give it to casty recover"
    )
    return 0


async def _salvage(options: argparse.Namespace) -> int:
    config, secrets = access_of(options)
    async with new_directory(options.directory) as (device, put_in_place):
        line = open_line(options.contact, config, secrets)
        write, records, number, is_last = writer_of(device), 0, 0, False
        try:
            while not is_last:
                rows, is_last = await page_of(line, number, options.timeout)
                batch = Batch()
                for key, value in rows:
                    batch.put(key, value)
                await write(batch)
                records, number = records + len(rows), number + 1
        finally:
            line.close()
        await put_in_place()
    return records


async def page_of(line: WaitQueue, number: int, timeout_s: float) -> tuple[list[list[bytes]], bool]:
    """Ask for one page; returns its records, and whether it is the last. Raises `RecoveryError`, `Unavailable`."""
    answer = await line.ask(frames.SALVAGE, number, frames.SALVAGE_REPLY, timeout_s)
    if not isinstance(answer, list) or answer[:1] != [number]:
        raise ProtocolError(f"expected page {number}, found {answer!r:.100}")
    if len(answer) == 2 and isinstance(answer[1], str):
        raise RecoveryError(answer[1])
    if len(answer) != 3 or not isinstance(answer[1], list) or type(answer[2]) is not bool:
        raise ProtocolError(f"expected [number, records, is last], found {answer!r:.100}")
    rows = []
    for row in answer[1]:
        if not isinstance(row, list) or [type(part) for part in row] != [bytes, bytes]:
            raise ProtocolError(f"expected records of two byte strings, found {row!r:.100}")
        rows.append([part for part in row if isinstance(part, bytes)])
    return rows, answer[2]
