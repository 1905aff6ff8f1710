"""Planted bugs in what a new generation is made of, in how the former one ends, and in backups."""

from __future__ import annotations

from typing import Any

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.placement import slot_of
from casty.cluster.control.topology import Topology
from casty.cluster.multiraft.host import Host
from casty.cluster.node import backups, succession
from casty.cluster.node.disk import NodeDisk
from casty.cluster.node.succession import Succession
from casty.cluster.recovery import making, renewal, survivors
from casty.cluster.slots import machine as slot_machine
from casty.cluster.slots.machine import FORMER
from casty.cluster.slots.replica import SlotReplica
from sim.plans.swarm.disks import DURABLE

from .bug import Planted, bug_in, shown

__all__ = ["RECOVERY"]

_RECOVERY = "tests/cluster/test_recovery.py"
_BACKUPS = "tests/cluster/test_backups.py"
_ROLES = "tests/cluster/test_roles_outlive.py"
_UNIT = "tests/unit/cluster/recovery"


def _all_for_everybody(right: Any) -> Any:
    """The slots of roles become slots of all nodes."""

    def take_over(machine: ControlMachine, document: Any) -> list[str | None]:
        roles: list[str | None] = right(machine, document)
        machine.pools.clear()
        return [None] * len(roles)

    return take_over


def _slot_of_all_nodes(topology: Topology, kind: int, entity: bytes) -> int:
    """The way to the log of an entity knows nothing of its role."""
    return slot_of(kind, entity, topology.shared_slots)


def _first_will_do(_one: Any, _other: Any) -> bool:
    """Whoever is named first is taken."""
    return False


def _longer_is_ahead(one: Any, other: Any) -> bool:
    """A longer log counts more than a later term."""
    return bool((one.epoch, one.last_index, one.last_term) > (other.epoch, other.last_index, other.last_term))


def _same_generation(known: Any, wall_s: int) -> int:
    """The new generation is the former one."""
    return int(max(*known, wall_s))


def _open_at_once(right: Any) -> Any:
    """Locks are granted as soon as somebody leads the slot."""

    def renew(machine: Any, generation: int, mark: bytes, **more: Any) -> Any:
        what = right(machine, generation, mark, **more)
        del machine.sessions[FORMER], machine.attempts[mark]
        return what

    return renew


def _usual_for_all(*_sessions: Any, **_is_whole: Any) -> int:
    """Nobody asked for a longer time to live than is usual."""
    return 0


def _goes_on(_succession: Any, _extra: Any) -> None:
    """Whoever is of a former generation takes the new one for somebody else's cluster."""


def _no_kin(right: Any) -> Any:
    """Of two recoveries of one cluster neither ends."""

    def successor_of(mine: Any, _former: Any, extra: Any) -> Any:
        return right(mine, (), extra)

    return successor_of


def _unmarked(right: Any) -> Any:
    """A survivor's directory stays in use."""

    def superseded(one: Any, new: Any) -> Any:
        return right(one, new._replace(cluster_id="", generation=0))

    return superseded


def _kept(_machine: Any) -> int:
    """What is on record is taken over, although its journal may have more."""
    return 0


def _latest_only(_current: Any, dump: Any) -> Any:
    """A dump that begins ends what another one is told."""
    return dump


def _speaks(_replica: Any, _group: Any) -> bool:
    """Whoever is asked hands out what it has."""
    return True


def _serves_on(host: Any) -> Any:
    """What is handed over is used on."""
    return list(host.groups.values())


def _never(_disk: Any, _number: int, _epoch: int) -> bool:
    """A replica that was never written begins blank, as one that was lost."""
    return False


def _free_at_once(_machine: Any) -> dict[int, Any]:
    """What was reserved ends with the sessions, as locks do, and is handed out while its holder believes in it."""
    return {}


_LOSS = f"{_RECOVERY}::test_after_the_loss_of_two_of_three_for_good_a_lock_has_one_holder_and_tokens_grow"

RECOVERY = (
    shown(
        Planted("less-advanced-survivor", "who knows most", DURABLE, survivors, "is_ahead", _first_will_do),
        f"{_RECOVERY}::test_the_most_advanced_survivor_is_taken_and_nothing_acknowledged_is_lost",
    ),
    shown(
        Planted("longer-before-later", "who knows most", DURABLE, survivors, "is_ahead", _longer_is_ahead),
        f"{_UNIT}/test_survivors.py"
        "::test_a_later_term_counts_more_than_a_longer_log_and_a_later_epoch_more_than_both",
    ),
    shown(
        Planted("generation-not-raised", "tokens grow over a recovery", DURABLE, making, "generation_above",
                _same_generation),
        _LOSS,
    ),
    shown(bug_in("open-at-once", "closed for one time to live", DURABLE, making, "renew", _open_at_once, True), _LOSS),
    shown(
        Planted("closed-for-the-usual-time", "closed for one time to live", DURABLE, renewal, "closed_for_ms",
                _usual_for_all),
        f"{_UNIT}/test_renewal.py::test_it_is_closed_for_as_long_as_any_client_may_believe_in_a_hold",
    ),
    shown(
        Planted("reserved-for-nobody", "closed for one time to live", DURABLE, renewal, "_take_reservations",
                _free_at_once, True),
        f"{_UNIT}/test_renewal.py"
        "::test_a_reserved_item_is_free_when_nobody_can_believe_in_its_reservation_any_more",
    ),
    shown(
        Planted("old-generation-goes-on", "one generation", DURABLE, Succession, "flaw", _goes_on),
        f"{_RECOVERY}::test_a_majority_of_the_old_generation_that_comes_back_ends_and_serves_nobody",
    ),
    shown(
        bug_in("both-recoveries-go-on", "one generation", DURABLE, succession, "successor_of", _no_kin),
        f"{_RECOVERY}::test_of_two_recoveries_on_two_sides_of_a_cut_one_goes_on",
    ),
    shown(
        bug_in("survivors-not-marked", "one generation", DURABLE, making, "superseded", _unmarked),
        f"{_RECOVERY}::test_a_recovery_is_made_once_unless_it_was_interrupted",
    ),
    shown(
        Planted("salvaged-and-serving", "one generation", DURABLE, Host, "give_up", _serves_on),
        f"{_RECOVERY}::test_a_survivor_without_a_disk_hands_over_what_it_has_and_ends",
    ),
    shown(
        Planted("behind-its-journal", "the journal counts", DURABLE, renewal, "_leave_to_journal", _kept),
        f"{_UNIT}/test_renewal.py"
        "::test_what_is_on_record_is_left_to_its_journal_where_the_state_may_lack_something",
    ),
    shown(
        Planted("second-dump-untold", "one index", DURABLE, slot_machine, "with_dump", _latest_only),
        f"{_BACKUPS}::test_two_dumps_of_one_slot_are_each_of_their_own_index",
    ),
    shown(
        Planted("backup-of-a-follower", "backups have what was acknowledged", DURABLE, SlotReplica, "may_speak",
                _speaks),
        f"{_BACKUPS}::test_only_who_leads_a_slot_hands_it_out_and_only_in_one_leadership",
    ),
    shown(
        bug_in("roles-not-taken-over", "roles outlive", DURABLE, ControlMachine, "_take_over", _all_for_everybody),
        f"{_ROLES}::test_a_recovered_cluster_has_them",
    ),
    shown(
        Planted("logs-in-any-slot", "roles outlive", DURABLE, Topology, "slot_of", _slot_of_all_nodes),
        f"{_ROLES}::test_logs_of_entities_are_in_slots_of_their_role",
    ),
    shown(
        Planted("slots-by-hearsay", "backups have what was acknowledged", DURABLE, backups, "_knows_all", _speaks),
        f"{_ROLES}::test_which_slots_there_are_is_asked_of_whoever_knows_for_sure",
    ),
    shown(
        Planted("first-replica-begins-blank", "full disks are no loss", DURABLE, NodeDisk, "begins_again", _never),
        "tests/cluster/test_disks.py::test_three_full_disks_while_a_cluster_is_founded_are_no_loss",
    ),
)  # fmt: skip
