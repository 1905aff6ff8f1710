"""Planted bugs of event-sourced entities, and of how entities are unloaded."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from casty.actor import local
from casty.actor.event_sourced import Life
from casty.actor.event_store import JournalStore, PersistRefused
from casty.actor.holding import Held
from casty.cluster.actors import entity_log
from casty.cluster.actors.activations import Activation
from casty.cluster.actors.entity_log import SlotLog
from casty.cluster.actors.passivation import Recent
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.node import request_handler
from casty.cluster.slots import schema
from casty.distributed.machines import events
from casty.distributed.machines.base import OK, Decision
from casty.distributed.machines.events import APPEND, EventLog, EventLogStructure

from .bug import Planted, bug_in, shown

__all__ = ["LEDGERS"]

ENTITIES = "entities"
_LOGS = "tests/unit/distributed/machines/test_event_logs.py"
_SOURCED = "tests/unit/actor/test_event_sourced.py"
_GROUPS = "tests/unit/actor/test_event_groups.py"
_ENTRIES = "tests/unit/cluster/slots/test_client_entries.py"
_CLUSTER = "tests/cluster/test_entity_events.py"


def _keeps_nothing(held: Any, context: Any) -> bool:
    """What a command says leaves at once."""
    del held, context
    return False


async def _as_it_comes(_store: Any, work: Any) -> Any:
    """What a journal raises that is no `JournalError` ends the actor."""
    return await work


def _drops_nothing(held: Any) -> None:
    """What a command says leaves though its events were refused."""
    held.release()


def _begun_at_once(cell: Any) -> None:
    """A child begins before the events are committed of the command that spawned it."""
    cell.start()


def _any_writer(sound: Any) -> Any:
    def decide(structure: Any, state: Any, command: Any, ctx: Any) -> Decision:
        """Whoever appends last is right, whoever it is and whatever it knows."""
        if state is not None and command[0] == APPEND:
            return sound(structure, state, [APPEND, state.writer, state.number, command[3]], ctx)  # type: ignore[no-any-return]
        return sound(structure, state, command, ctx)  # type: ignore[no-any-return]

    return decide


def _appended_again(log: EventLog, expected: int, batch: Any) -> Any:
    """A repeated append counts once more."""
    del expected
    log.tail.extend(batch)
    log.number += len(batch)
    return [OK, log.number]


def _one_event_early(sound: Any) -> Any:
    async def save_snapshot(log: Any, number: int, state: Any) -> None:
        """A snapshot has one event more in it than it says."""
        await sound(log, max(1, number - 1), state)

    return save_snapshot


def _not_replayed(_sound: Any) -> Any:
    async def events_after(log: Any, number: int) -> list[object]:
        """A recovery reads the snapshot and nothing behind it."""
        del log, number
        return []

    return events_after


def _refused_and_well(sound: Any) -> Any:
    async def persist(log: Any, expected: int, batch: Any) -> None:
        """What was refused counts as committed."""
        try:
            await sound(log, expected, batch)
        except PersistRefused:
            return

    return persist


def _without_tail(sound: Any) -> Any:
    def freeze(structure: Any, state: Any) -> Any:
        """A dump of a log without what no snapshot has."""
        return sound(structure, state)._replace(tables=([],))

    return freeze


def _stopped_at_once(activation: Any) -> None:
    """An entity that is unloaded reads nothing more."""
    activation.is_draining = True
    activation.cell.stop()


def _never_stopped(host: Any, slot: int) -> None:
    """Entities live on when somebody else leads their slot."""
    del host, slot


def _never_idle(recent: Any, now_ns: int) -> int:
    """Nobody is idle."""
    return int(now_ns + recent.limits.idle_ns)


def _always_room(_sound: Any) -> Any:
    def makes_room(recent: Any, path: str) -> bool:
        """As many live as are sent something."""
        del recent, path
        return True

    return makes_room


def _then_forgotten(sound: Any) -> Any:
    async def commit(life: Any, batch: Any, held: Any, message: Any) -> bool:
        """What follows the commit does not follow."""
        await sound(life, batch, held, message)
        held.release()
        return False

    return commit


def _of_anybody(data: bytes) -> bool:
    """Clients write the logs of entities."""
    del data
    return True


def _state_kept(sound: Any) -> Any:
    async def commit(life: Any, batch: Any, held: Any, message: Any) -> bool:
        """After a refusal the entity goes on with the state that it has, whatever was done to it."""
        is_committed: bool = await sound(life, batch, held, message)
        life._is_behind = False
        return is_committed

    return commit


def _any_entry(data: bytes) -> Any:
    """A gateway may send whatever a leader may propose."""
    return schema.applicable(data)


def _early(sound: Any) -> Any:
    async def persist_together(life: Any, some: Any) -> None:
        """What a group of commands says leaves before the log has their events."""
        for one in some:
            one.held.release()
        await sound(life, some)

    return persist_together


def _nobody_told(_life: Any) -> None:
    """A group whose actor ends is forgotten."""


def _unawaited(sound: Any) -> Any:
    async def persist(store: Any, expected: int, batch: Any) -> None:
        """The journal is told, and not waited for."""
        task = asyncio.ensure_future(sound(store, expected, batch))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)

    return persist


def _one_that_fails(sound: Any) -> Any:
    async def commit_group(life: Any, held: Any = None) -> None:
        """A command that raises takes along what was decided before it."""
        if held is None and sys.exc_info()[1] is not None:
            return
        await sound(life, held)

    return commit_group


LEDGERS = (
    shown(
        bug_in("events-heard-before-journal", "journal, then effects", ENTITIES, JournalStore, "persist", _unawaited),
        f"{_SOURCED}::test_nothing_leaves_before_the_events_are_committed",
    ),
    shown(
        bug_in("group-heard-before-commit", "commit, then effects", ENTITIES, Life, "_persist_together", _early),
        f"{_GROUPS}::test_nothing_of_a_group_is_heard_before_it_is_on_record_nor_what_rests_on_it",
    ),
    shown(
        Planted("group-forgotten", "losses are told", ENTITIES, Life, "drop_group", _nobody_told),
        f"{_GROUPS}::test_a_group_whose_actor_ends_before_the_next_command_is_told",
    ),
    shown(
        bug_in("group-fails-with-its-last", "one failure", ENTITIES, Life, "_commit_group", _one_that_fails),
        f"{_GROUPS}::test_one_that_raises_does_not_take_along_those_before_it",
    ),
    shown(
        Planted("appended-by-gateways", "nodes write logs", ENTITIES, schema, "check_entry", _any_entry),
        f"{_ENTRIES}::test_what_only_a_leader_proposes_is_taken_of_no_gateway",
    ),
    Planted("events-heard-before-commit", "commit, then effects", ENTITIES, Held, "keeps", _keeps_nothing),
    Planted("events-refused-and-heard", "no effects of a refusal", ENTITIES, Held, "drop", _drops_nothing),
    Planted("events-child-begun-early", "commit, then effects", ENTITIES, local, "_begin_if_committed", _begun_at_once),
    bug_in("events-refusal-taken-for-ok", "commit, then effects", ENTITIES, SlotLog, "persist", _refused_and_well),
    shown(
        bug_in("events-of-any-writer", "one writer", ENTITIES, EventLogStructure, "decide", _any_writer),
        f"{_LOGS}::test_whoever_opened_last_is_the_only_writer",
    ),
    bug_in("events-snapshot-ahead", "snapshot of events", ENTITIES, SlotLog, "save_snapshot", _one_event_early),
    bug_in("events-not-replayed", "recovery", ENTITIES, SlotLog, "events_after", _not_replayed),
    bug_in("events-not-in-dump", "snapshot of slots", ENTITIES, EventLogStructure, "freeze", _without_tail),
    Planted("events-two-activations", "one activation", ENTITIES, RegionHost, "_stop_slot", _never_stopped),
    Planted("unloaded-with-its-mail", "unloading drains", ENTITIES, Activation, "drain", _stopped_at_once),
    Planted("never-unloaded", "unloading", ENTITIES, Recent, "drain_idle", _never_idle),
    shown(
        Planted("events-repeated-count-twice", "repeats count once", ENTITIES, events, "_append", _appended_again),
        f"{_LOGS}::test_the_same_events_under_the_same_numbers_are_success_once",
    ),
    shown(
        bug_in("events-then-forgotten", "then", ENTITIES, Life, "_commit", _then_forgotten),
        f"{_SOURCED}::test_each_kind_of_then_is_honoured",
    ),
    shown(
        bug_in("events-state-kept-after-refusal", "recovery", ENTITIES, Life, "_commit", _state_kept),
        f"{_SOURCED}::test_a_state_that_was_changed_in_place_by_a_refused_command_is_read_anew",
    ),
    shown(
        Planted("events-of-clients", "nodes write logs", ENTITIES, request_handler, "may_be_of_client", _of_anybody),
        f"{_CLUSTER}::test_a_client_cannot_write_a_log",
    ),
    shown(
        Planted("full-and-in-doubt", "writes in doubt", ENTITIES, entity_log, "OVERLOADED", -1, True),
        "tests/unit/cluster/actors/test_entity_log.py"
        "::test_a_write_in_doubt_that_finds_the_log_full_is_refused_and_not_repeated_for_ever",
    ),
    shown(
        Planted("journal-raises-as-it-likes", "failing journals", ENTITIES, JournalStore, "_typed", _as_it_comes),
        f"{_SOURCED}::test_whatever_a_journal_raises_is_a_journal_that_fails",
    ),
    shown(
        bug_in("room-for-everybody", "max_activations", ENTITIES, Recent, "makes_room", _always_room),
        f"{_CLUSTER}::test_the_one_that_was_used_least_recently_goes_first",
    ),
)  # fmt: skip
"""All of them."""
