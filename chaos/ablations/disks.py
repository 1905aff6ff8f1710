"""Planted bugs in what nodes keep on their disks: the order of writes and words, records, restarts."""

from __future__ import annotations

from typing import Any

from casty.address import replica_id_of
from casty.cluster.control.machine import MemberRow
from casty.cluster.multiraft.host import Host
from casty.cluster.node import start
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.links import key_of
from casty.cluster.node.replica_factory import Groups
from casty.cluster.node.replica_repair import Refills
from casty.consensus import Core
from casty.durable import records
from casty.durable.book import Book
from casty.durable.records import Manifest, log_key
from casty.wire.pack import unpack
from sim.plans.swarm.disks import DURABLE

from .bug import Planted, bug_in, shown

__all__ = ["DISKS"]


def _told_at_once(right: Any) -> Any:
    """What is to be said when it is durable is said when it is asked for."""

    def write(book: Any, writes: Any, done: Any) -> None:
        right(book, writes, _nothing)
        done()

    return write


def _nothing() -> None:
    """Nobody is told."""


def _empty_overtakes(right: Any) -> Any:
    """Who has nothing to write does not wait for what is on its way: a repeated append is answered at once."""

    def write(book: Any, writes: Any, done: Any) -> None:
        if (
            not any(one.hard_state or one.entries or one.snapshot for one in writes)
            and not book._batch.changes
        ):
            done()
        else:
            right(book, writes, done)

    return write


def _without_votes(right: Any) -> Any:
    """Terms are kept, votes are not."""

    def put(book: Any, write: Any) -> None:
        if write.hard_state is not None:
            write = write._replace(hard_state=(write.hard_state[0], None))
        right(book, write)

    return put


def _keeps_tails(right: Any) -> Any:
    """Entries that are replaced stay behind those that replace them."""

    def put(book: Any, write: Any) -> None:
        batch = book._batch
        remove, batch.__class__.remove = batch.__class__.remove, _removes_no_log
        try:
            right(book, write)
        finally:
            batch.__class__.remove = remove

    return put


_true_remove = records.Batch.remove


def _removes_no_log(batch: Any, first: bytes, behind: bytes) -> None:
    if first[5:6] != b"l":
        _true_remove(batch, first, behind)


def _log_goes_first(right: Any) -> Any:
    """The log goes when the first part of the state that takes its place is kept, and not with the last one."""

    def keep_part(book: Any, group: int, state: object, data: bytes) -> None:
        is_first = book._shelves[group].incoming != state
        right(book, group, state, data)
        snapshot = getattr(state, "snapshot", None)
        if is_first and snapshot is not None:
            book._batch.remove(log_key(group, 0), log_key(group, snapshot.index + 1))

    return keep_part


def _unchecked(key: bytes, value: bytes) -> Any:
    """Whatever can be read is believed."""
    del key
    return unpack(value[records.HEADER_BYTES :])


def _counts_itself(right: Any) -> Any:
    """A leader counts itself for entries that it is still writing."""

    def go_ahead(host: Any, group: Any, ready: Any) -> None:
        right(host, group, ready)
        if ready.entries and group.is_leading:
            group.core.stored(ready.first_index + len(ready.entries) - 1, ready.entries[-1].term)
            host.mark(group)

    return go_ahead


def _votes_at_once(right: Any) -> Any:
    """A voter that was started again does not keep quiet, although a lease may rest on it."""

    def restore(core: Any, restored: Any, now_ns: int) -> None:
        right(core, restored, now_ns)
        core.refuse_until_ns = now_ns

    return restore


def _same_name(right: Any) -> Any:
    """A replica that the disk lost comes back under the name that it had."""

    def lost(refills: Any, number: int, epoch: int, replica_number: int, reason: str, now_ns: int) -> None:
        right(refills, number, epoch, replica_number - 1, reason, now_ns)

    return lost


def _founds_again(groups: Groups, slot: int, epoch: int) -> None:
    """A replica that the disk lost is created once more, as the first of its group."""
    del groups, slot, epoch


def _same_process(manifest: Manifest, token: str) -> str:
    """A process with a disk says that it is the one that had the disk before."""
    del token
    return f"{manifest.disk}+1+same"


def _never_replaced(row: Any, incarnation: str) -> bool:
    """Disks are never out of date."""
    return incarnation in row.former


def _unannounced(refills: object, group: object, machine: object) -> None:
    """A replica that was begun anew tells nobody its name."""
    del refills, group, machine


def _any_term(right: Any) -> Any:
    """A leader sends entries of a term that it may forget."""

    def go_ahead(host: Any, group: Any, ready: Any) -> None:
        group.unkept_terms = 0
        hard_state, ready.hard_state = ready.hard_state, None
        right(host, group, ready)
        ready.hard_state = hard_state

    return go_ahead


def _any_replica_id(boundary: Any, link: Any, role: int) -> str:
    """Whoever has the name of a disk has its place."""
    del boundary, role
    return replica_id_of(key_of(link))


def _remembered(refills: Any, number: int) -> None:
    """A replica whose place went to others comes back for what failed in it before."""


def _not_wanted_elsewhere(refills: Any, number: int, failure: Any, machine: Any) -> bool:
    """A replica that is to go elsewhere is given up, though the disk has it."""
    row = machine.slots[number - 1] if number else None
    return row is None or (row.epoch == failure.epoch and refills._node_id in row.target)


_FACTORY = "tests/unit/cluster/node/test_disk_replicas.py"

DISKS = (
    bug_in("told-before-synced", "writes before words", DURABLE, Book, "_write", _told_at_once),
    bug_in("repeats-told-before-synced", "writes before words", DURABLE, Book, "_write", _empty_overtakes, True),
    bug_in("votes-not-kept", "votes are kept", DURABLE, Book, "_put", _without_votes, True),
    bug_in("replaced-entries-kept", "logs are cut", DURABLE, Book, "_put", _keeps_tails, True),
    bug_in("log-goes-before-its-snapshot", "snapshots before logs", DURABLE, Book, "keep_part", _log_goes_first, True),
    Planted("damaged-records-believed", "checksums", DURABLE, records, "_open", _unchecked, True),
    bug_in("leader-counts-what-it-writes", "commits are durable", DURABLE, Host, "_go_ahead", _counts_itself, True),
    shown(
        bug_in("votes-at-once-after-a-restart", "lease", DURABLE, Core, "_restore", _votes_at_once, True),
        "tests/unit/consensus/test_core.py::test_a_restored_voter_keeps_quiet_for_one_election_timeout",
    ),
    shown(
        bug_in("appends-before-their-term", "writes before words", DURABLE, Host, "_go_ahead", _any_term, True),
        "tests/unit/cluster/multiraft/test_host.py::test_a_leader_whose_term_is_not_stored_sends_no_entries_of_it",
    ),
    shown(
        Planted("given-up-on-the-move", "disks remember", DURABLE, Refills, "_is_wanted", _not_wanted_elsewhere, True),
        "tests/unit/cluster/node/test_replica_repair.py::test_one_that_is_to_go_elsewhere_comes_back_from_the_disk",
    ),
    shown(
        Planted("failed-before-it-moved", "places move", "membership", Refills, "moved", _remembered, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[back-for-what-failed-before]",
    ),
    bug_in("lost-and-back-under-its-name", "lost replicas are new", DURABLE, Refills, "lost", _same_name, True),
    shown(
        Planted("lost-and-founded-again", "lost replicas are new", DURABLE, Groups, "lost", _founds_again, True),
        f"{_FACTORY}::test_a_replica_that_the_disk_lost_is_not_created_as_the_first_of_its_group",
    ),
    Planted("a-disk-is-a-process", "identity", DURABLE, start, "incarnation_of", _same_process),
    shown(
        Planted("old-disks-are-welcome", "old disks", DURABLE, MemberRow, "is_replaced", _never_replaced, True),
        "tests/cluster/test_disks.py::test_an_older_copy_of_the_disk_is_refused",
    ),
    shown(
        Planted("begun-anew-and-silent", "lost replicas are new", DURABLE, Refills, "_announce", _unannounced, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[begun-anew-and-restarted]",
    ),
    shown(
        Planted(
            "ids-for-the-asking", "ids have an address", DURABLE, Boundary, "_replica_id", _any_replica_id, True
        ),
        "tests/unit/cluster/test_authority.py::test_a_place_is_not_taken_by_its_name_alone",
    ),
)  # fmt: skip
