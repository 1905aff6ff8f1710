"""What a process finds on its disk when it is started again is no less than what others were told (3, 12).

A write that nobody was told of may be gone. What a leader counts as acknowledged, and a vote that a candidate has, may
not: whoever said so before it was on the disk is found here, whether or not it does any harm in this run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from casty.address import peer_key, replica_id
from casty.consensus import Core, Restored, Role
from casty.durable.loading import load_group
from casty.durable.records import MANIFEST, Corrupt, decode_manifest, hard_key
from casty.errors import DiskError

from ..violation import Violation, ViolationError
from .introspection import HostView
from .raft_logs import Logs

if TYPE_CHECKING:
    from ...world.disk import SimDisk
    from ...world.process import Process

__all__ = ["Disks"]


class Disks:
    """Looks at each disk that is opened.

    Parameters
    ----------
    logs
        What each replica has written.
    live
        The nodes that run, with their replicas.
    """

    def __init__(self, logs: Logs, live: Callable[[], list[tuple[Process, HostView]]]) -> None:
        self._logs = logs
        self._live = live
        self.counts = {"disks opened again": 0, "replicas with damaged records": 0, "replicas restored": 0}

    def opened(self, process: Process, disk: SimDisk) -> None:
        """A process opens a disk; raises `ViolationError`."""
        value = disk.rows.get(MANIFEST)
        if value is None:
            return
        try:
            manifest = decode_manifest(value)
        except DiskError:
            return  # the process says so, and ends
        self.counts["disks opened again"] += bool(manifest.groups)
        for number, row in manifest.groups.items():
            id = replica_id(peer_key(manifest.node_id, manifest.disk), row.replica_number)
            rows = disk.between(hard_key(number)[:5], hard_key(number + 1)[:5], 0)
            try:
                stored = load_group(number, row, [pair for pair in rows if pair[0][5:6] != b"p"], 0)
            except Corrupt as error:
                self.counts["replicas with damaged records"] += 1
                if not disk.is_damaged:
                    _broken(
                        3,
                        number,
                        id,
                        f"its records do not fit together, and nothing happened to them: {error}",
                    )
                continue
            self.counts["replicas restored"] += 1
            if not disk.is_stale:
                self._check(id, number, row.epoch, stored.restored)
            self._logs.restarted(id, (number, row.epoch), stored.restored)

    def _check(self, id: str, number: int, epoch: int, restored: Restored) -> None:
        for _, host in self._live():
            group = host.groups.get(number)
            if group is not None and group.epoch == epoch:
                self._check_acknowledged(id, number, group.core, restored)
                self._check_vote(id, number, group.core, restored)

    @staticmethod
    def _check_acknowledged(id: str, number: int, core: Core, restored: Restored) -> None:
        progress = core.progress.get(id) if core.role is Role.LEADER else None
        if progress is None:
            return
        offset = restored.offset or 0
        last = offset + len(restored.entries)
        if progress.match > last:
            _broken(3, number, id, f"acknowledged entry {progress.match}, its disk ends with {last}")
        if offset < progress.match and core.log.offset <= progress.match:
            term = restored.entries[progress.match - offset - 1].term
            if term != core.log.term_at(progress.match):
                _broken(
                    3, number, id, f"acknowledged entry {progress.match}, its disk has one of term {term}"
                )

    @staticmethod
    def _check_vote(id: str, number: int, core: Core, restored: Restored) -> None:
        if core.role not in (Role.CANDIDATE, Role.LEADER) or not core.votes.get(id) or core.id == id:
            return
        if (restored.term, restored.vote) != (core.term, core.id) and restored.term <= core.term:
            text = f"voted for {core.id} in term {core.term}, its disk has {restored.vote} in {restored.term}"
            _broken(12, number, id, text)


def _broken(number: int, group: int, id: str, text: str) -> None:
    raise ViolationError(Violation(number, f"group {group} at {id}", text))
