"""``casty backup`` and ``casty restore``: the structures of a living cluster in a file, and a new cluster out of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from casty import runtime as runtimes
from casty.cli.places import new_directory, new_file, writer_of
from casty.cli.recover import new_node
from casty.cli.status import WaitQueue, access_of, fetch_status, open_line
from casty.cluster.node.backups import WHOLE_CLUSTER
from casty.cluster.recovery.backup_file import BackupWriter, read_records
from casty.cluster.recovery.making import Restoring
from casty.cluster.recovery.renewal import Renewed
from casty.config import SECOND_NS
from casty.config_file import parse_address
from casty.errors import BackupError, ProtocolError, Refused, Unavailable
from casty.wire import frames

__all__ = ["Backup", "run_backup", "run_restore"]

AGAIN_S = 0.25


def run_backup(options: argparse.Namespace) -> int:
    """Write the file; it is there when all of it is, and synced."""
    what = asyncio.run(_backup(options))
    if options.json:
        print(json.dumps(what))
    else:
        print(f"{options.file}: {what['written']} slots of {what['name']!r}, generation {what['generation']}, "
              f"{what['bytes']:,} bytes")  # fmt: skip
    return 0


async def _backup(options: argparse.Namespace) -> dict[str, object]:
    config, secrets = access_of(options)
    async with AsyncExitStack() as stack:
        ask_status = partial(fetch_status, options.contact, config=config, secrets=secrets)
        with new_file(options.file) as file:
            line = partial(open_line, config=config, secrets=secrets)
            backup = Backup(file, line, ask_status, options.contact, options.timeout)
            stack.callback(backup.close)
            return await backup.run()


class Backup:
    """One backup on its way into a file: slot by slot, each from its leader.

    Parameters
    ----------
    file
        Written from its beginning; a slot that has to be asked for again is taken back.
    line
        Opens a link to a node.
    ask_status
        Returns a status; takes how long to try, in seconds.
    contact
        The node that is asked first.
    timeout_s
        How long one slot may be without an answer.
    """

    def __init__(
        self,
        file: BinaryIO,
        line: Callable[[tuple[str, int]], WaitQueue],
        ask_status: Callable[[float], Any],
        contact: tuple[str, int],
        timeout_s: float,
    ) -> None:
        self._file = file
        self._line = line
        self._ask_status = ask_status
        self._contact = contact
        self._timeout_s = timeout_s
        self._lines: dict[tuple[str, int], WaitQueue] = {}
        self._writer = BackupWriter()

    async def run(self) -> dict[str, object]:
        """Write all of it; raises `BackupError` when a slot has no leader for too long, `Unavailable`, `OSError`."""
        self._file.write(BackupWriter.head())
        document = await self._again("what cluster this is", self._describe)
        self._file.write(self._writer.record("cluster", document))
        there = document["slots"] + sum(count for _, count in document.get("pools", ()))
        slots = [slot for slot in range(there) if slot not in document.get("blank", ())]
        for slot in slots:
            await self._slot(slot)
        self._file.write(self._writer.record("whole", len(slots), self._writer.records))
        written = {"written": len(slots), "bytes": self._file.tell(), "records": self._writer.records}
        return {**document, **written}

    def close(self) -> None:
        """End all links."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            line.close()

    async def _describe(self, left_s: float) -> dict[str, Any] | str:
        """Return which slots there are, as only the leader of the control group knows for sure; or why not."""
        status = await self._ask_status(left_s)
        node = self._address(status, status["leader"], "the control group")
        answer = await self._ask(node, WHOLE_CLUSTER, 0, left_s)
        if len(answer) == 1 and isinstance(answer[0], (dict, str)):
            return answer[0]
        raise ProtocolError(f"expected what cluster this is, found {answer!r:.100}")

    async def _slot(self, slot: int) -> None:
        """Write one slot; whatever fails, it is begun again."""
        at = (self._file.tell(), self._writer.checksum, self._writer.records)

        async def begin_again(left_s: float) -> dict[str, Any] | str:
            self._file.seek(at[0])
            self._file.truncate()
            self._writer.checksum, self._writer.records = at[1:]
            return await self._take(slot, await self._leader(slot, left_s), left_s) or {}

        await self._again(f"slot {slot}", begin_again)

    async def _again(
        self, what: str, attempt: Callable[[float], Awaitable[dict[str, Any] | str]]
    ) -> dict[str, Any]:
        """Try until something comes of it that is no text, or the time is over; an attempt takes what is left of it."""
        clock = runtimes.current().clock
        until_ns, text = clock.now() + int(self._timeout_s * SECOND_NS), ""
        while clock.now() < until_ns:
            try:
                found = await attempt((until_ns - clock.now()) / SECOND_NS)
            except (Unavailable, Refused, ProtocolError) as error:
                text = str(error)
                self.close()  # an answer may come late
            else:
                if isinstance(found, dict):
                    return found
                text = found
            await clock.sleep(AGAIN_S)
        raise BackupError(f"{what} was not given within {self._timeout_s} s: {text}; there is no backup")

    async def _leader(self, slot: int, left_s: float) -> tuple[str, int]:
        status = await self._ask_status(left_s)
        slots = status["slots"]
        return self._address(status, slots[slot]["leader"] if slot < len(slots) else None, f"slot {slot}")

    def _address(self, status: dict[str, Any], node_id: str | None, what: str) -> tuple[str, int]:
        for member in status["members"]:
            if member["id"] == node_id:
                return parse_address(member["address"])
        raise Unavailable(f"{what} has no leader that {self._contact[0]}:{self._contact[1]} knows")

    async def _take(self, slot: int, node: tuple[str, int], left_s: float) -> str:
        """Write the parts that a node gives; returns why it stopped, an empty text at the end."""
        number, is_last = 0, False
        began: list[Any] = []
        while not is_last:
            answer = await self._ask(node, slot, number, left_s)
            if [type(field) for field in answer] != [int, int, int, bytes, bool]:
                return str(answer[0]) if len(answer) == 1 else f"expected a part, found {answer!r:.100}"
            if number == 0:
                began = answer[:3]
                self._file.write(self._writer.record("slot", slot, *began))
            if answer[:3] != began:
                return "the parts are of several states"
            self._file.write(self._writer.record("part", answer[3]))
            number, is_last = number + 1, answer[4]
        self._file.write(self._writer.record("end", number))
        return ""

    async def _ask(self, node: tuple[str, int], slot: int, number: int, timeout_s: float) -> list[Any]:
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = self._line(node)
        answer = await line.ask(frames.BACKUP, [slot, number], frames.BACKUP_REPLY, timeout_s)
        if not isinstance(answer, list) or answer[:2] != [slot, number]:
            raise ProtocolError(f"expected part {number} of slot {slot}, found {answer!r:.100}")
        return answer[2:]


def run_restore(options: argparse.Namespace) -> int:
    """Make the data directory of a new cluster out of a backup, and say what was not taken over."""
    node = new_node(options.node_id or f"{options.host}:{options.port}", options.host, options.port)
    with Path(options.file).open("rb") as file:
        restoring = Restoring(read_records(file.read), node, options.name)
        what = asyncio.run(_restore(restoring, options.data_dir))
    new = restoring.new
    document = {
        "name": new.name, "cluster_id": new.cluster_id, "generation": new.generation, "slots": new.all_slots,
        "structures": what.entities, "holds_freed": what.holds, "waiting_dropped": what.waiting,
        "left_to_journal": what.on_record, "of": restoring.document["cluster_id"],
    }  # fmt: skip
    if options.json:
        print(json.dumps(document))
    else:
        print(
            f"{options.data_dir}: generation {new.generation} of {new.name!r}, {what.entities} structures; holds are "
            f"not revived: {what.holds} locks and permits are free, {what.waiting} waiting calls are gone, "
            f"{what.on_record} structures are left to their journal"
        )
    print(
        f"start: casty node --name {new.name} --node-id {new.node_id} --host {new.host} --port {new.port} --data-dir "
        f"{options.data_dir}; all other nodes with empty directories and --seed {new.host}:{new.port}",
        file=sys.stderr,
    )
    return 0


async def _restore(restoring: Restoring, path: str) -> Renewed:
    async with new_directory(path) as (device, put_in_place):
        what = await restoring.write(writer_of(device))
        await put_in_place()
    return what
