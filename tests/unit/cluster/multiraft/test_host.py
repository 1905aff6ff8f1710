"""The replica host: groups fail alone, slow storage reorders nothing, states go part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from casty.cluster.multiraft import host as hosts
from casty.cluster.multiraft.host import Group, Host
from casty.consensus import Core, Limits, Membership, Timing
from casty.consensus.messages import APPEND, APPEND_REPLY, PRE_VOTE_REPLY, SNAPSHOT, VOTE, VOTE_REPLY
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack, unpack
from tests.kit.hosts import Applied
from tests.kit.ports import Ports

MS = 1_000_000
TIMING = Timing(1000 * MS, 1500 * MS, 250 * MS, 10_000)
EPOCH = 7


class Bench:
    """One host that is told messages of a leader `a`."""

    def __init__(self, numbers: Sequence[int] = (1,), replica_number: int = 0) -> None:
        ports = Ports()
        self.clock, self.storage = ports.clock, ports.storage
        self.sent: list[tuple[str, list[Any]]] = []
        self.failed: list[tuple[int, Exception]] = []
        self.host = Host(
            ports.runtime, self._send, 1 << 20,
            on_failed=lambda group, error: self.failed.append((group.number, error)),
        )  # fmt: skip
        self.replicas: dict[int, Applied] = {}
        id = f"b#1~{replica_number}" if replica_number else "b#1"
        for number in numbers:
            core = Core(
                id=id, group=number, epoch=EPOCH, membership=Membership(("a#1", id)), now_ns=self.clock.now(),
                timing=TIMING, limits=Limits(), rounds=self.host.rounds,
                election_timeout_ns=lambda: 1200 * MS,
            )  # fmt: skip
            self.replicas[number] = Applied()
            self.host.add(Group(number, EPOCH, core, self.replicas[number]))

    def _send(self, to: str, kind: int, body: bytes) -> bool:
        del kind
        items: Any = unpack(body)
        self.sent += [(to, item) for item in items]
        return True

    def tell(self, *items: list[Any]) -> None:
        self.host.on_consensus("a#1", pack(list(items)))
        self.host.settle()

    def run_timers(self) -> None:
        """Run what is due now: parts of states, one a turn."""
        self.clock.advance(0)


def append(number: int, values: list[bytes], previous: int = 0, commit: int | None = None) -> list[Any]:
    entries = [[3, 0, value] for value in values]
    commit = previous + len(values) if commit is None else commit
    return [number, EPOCH, [APPEND, 3, previous, 3 if previous else 0, commit, 5, entries]]


def part(number: int, index: int, state: list[bytes]) -> list[Any]:
    message = [SNAPSHOT, 3, 5, index, 3, ["a#1", "b#1"], [], [], 0, 5, 0, 1, pack(state)]
    return [number, EPOCH, message]


def test_a_group_that_raises_is_gone_and_the_others_of_that_turn_are_done() -> None:
    bench = Bench((1, 2, 3))
    bench.replicas[2].fails_at = b"bad"
    bench.tell(append(1, [b"x"]), append(2, [b"y", b"bad", b"z"]), append(3, [b"w"]))
    assert bench.replicas[1].state == [b"x"] and bench.replicas[3].state == [b"w"]
    assert list(bench.host.groups) == [1, 3] and bench.replicas[2].is_closed
    assert [(number, type(error)) for number, error in bench.failed] == [(2, MemoryError)]
    bench.sent.clear()
    bench.tell(append(2, [b"more"], 3), append(1, [b"x2"], 1))
    assert [item[0] for _, item in bench.sent] == [1] and bench.replicas[1].state == [b"x", b"x2"]


def test_a_core_that_raises_fails_alike_and_a_malformed_message_does_not() -> None:
    bench = Bench((1, 2))
    with pytest.raises(RemoteProtocolError):
        bench.tell([1, EPOCH, [APPEND, "no term"]])
    assert list(bench.host.groups) == [1, 2]
    cast("Any", bench.host.groups[1].core).log = None  # a bug
    bench.tell(append(1, [b"x"]), append(2, [b"y"]))
    assert [number for number, _ in bench.failed] == [1] and bench.replicas[2].state == [b"y"]


def test_storage_that_raises_ends_the_replicas_of_its_batch_and_no_other() -> None:
    bench = Bench((1, 2, 3))
    bench.host.settle()
    bench.storage.error = OSError("no space left")
    bench.tell(append(1, [b"x"]), append(2, [b"y"]))
    assert [(number, type(error)) for number, error in bench.failed] == [(1, OSError), (2, OSError)]
    assert not bench.sent, "nothing is acknowledged that may not be stored"
    bench.tell(append(3, [b"z"]))
    assert bench.replicas[3].state == [b"z"] and [item[0] for _, item in bench.sent] == [3]


def test_what_is_meant_for_another_replica_of_this_process_is_dropped_and_its_sender_told_the_present_one() -> (
    None
):
    bench = Bench(replica_number=2)
    named = ("a#1", [1, EPOCH, [], 2, 0])
    bench.tell(append(1, [b"x"]), append(1, [b"y"]))
    assert bench.sent == [named], "once a frame"
    bench.tell([*append(1, [b"x"]), 0, 1])
    assert bench.sent == [named] * 2 and not bench.replicas[1].state
    bench.host.groups[1].is_kept = False
    bench.tell([*append(1, [b"x"]), 0, 1])
    bench.host.groups[1].is_kept = True
    bench.tell([*append(1, [b"x"]), 0, 3])
    assert len(bench.sent) == 2, "nor of one that may be gone with the process, or of a later one"
    bench.sent.clear()
    bench.tell([*append(1, [b"x"]), 0, 2])
    assert bench.replicas[1].state == [b"x"]
    [(to, item)] = bench.sent
    assert to == "a#1" and item[2][0] == APPEND_REPLY and item[3:] == [2, 0]


@pytest.mark.parametrize("numbers", [[0, -1], [0, "1"], [2**40, 0], [True, 0]])
def test_numbers_of_replicas_are_checked(numbers: list[Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        Bench().tell([*append(1, [b"x"]), *numbers])


def test_a_new_name_is_taken_of_members_only_and_never_goes_back() -> None:
    bench = Bench()
    group = bench.host.groups[1]
    for number in (2, 1):
        bench.tell([1, EPOCH, [], number, 0])
    bench.host.on_consensus("z#9", pack([[1, EPOCH, [], 5, 0]]))
    assert group.replica_of("a#1") == "a#1~2" and group.replica_of("z#9") == "z#9"
    assert list(group.renewals) == ["a#1"]


def test_entries_that_reach_the_disk_after_a_state_that_has_them_are_not_applied_again() -> None:
    bench = Bench()
    bench.tell(part(1, 7, [b"one", b"two", b"three"]))
    bench.storage.is_slow = True
    bench.tell(append(1, [b"one", b"two"]))
    bench.run_timers()
    assert bench.replicas[1].state == [b"one", b"two", b"three"]
    bench.storage.release()
    bench.storage.is_slow = False
    bench.tell(append(1, [b"four"], 7))
    assert bench.replicas[1].state == [b"one", b"two", b"three", b"four"]
    assert bench.host.groups[1].applied_index == 8


def test_a_state_is_acknowledged_when_it_is_in_place() -> None:
    bench = Bench()
    bench.tell(part(1, 7, [b"one"]))
    assert not bench.sent
    assert bench.host.transfer_bytes > 0, "what waits to be restored"
    bench.run_timers()
    assert bench.host.transfer_bytes == 0
    [(_, item)] = bench.sent
    assert item[2][0] == APPEND_REPLY and item[2][4] == 7 and bench.replicas[1].state == [b"one"]


def test_a_state_that_cannot_be_put_in_place_is_never_acknowledged() -> None:
    bench = Bench()
    state = part(1, 7, [b"one"])
    state[2][-1] = b"\xc1"
    bench.tell(state)
    bench.run_timers()
    assert not bench.sent and [number for number, _ in bench.failed] == [1]


def test_what_was_put_together_of_a_state_goes_when_the_rest_is_not_needed() -> None:
    bench = Bench()
    state = part(1, 2, [b"one"])
    state[2][11] = 0
    bench.tell(state)
    bench.run_timers()
    transfers: Any = cast("Any", bench.host)._transfers
    assert list(transfers.receiving) == [1]
    assert bench.host.transfer_bytes == len(state[2][-1])
    bench.tell(append(1, [b"one", b"two"]))
    assert not transfers.receiving and bench.replicas[1].state == [b"one", b"two"]
    assert bench.host.transfer_bytes == 0


def test_a_state_of_a_leader_that_is_gone_goes_with_it() -> None:
    bench = Bench()
    state = part(1, 9, [b"one"])
    state[2][11] = 0
    bench.tell(state)
    bench.run_timers()
    bench.host.on_consensus("c#1", pack([[1, EPOCH, [APPEND, 4, 0, 0, 0, 5, []]]]))
    bench.host.settle()
    assert not cast("Any", bench.host)._transfers.receiving and bench.host.groups[1].core.inbound is None


def test_groups_that_are_due_at_once_are_worked_off_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "TICKED_AT_ONCE", 4)
    bench = Bench(range(1, 11))
    bench.host.settle()
    bench.clock.skip(2)
    asked = []
    while len(bench.sent) < 10:
        before = len(bench.sent)
        bench.clock.skip_to(max(bench.clock.now_ns, bench.clock.due()[0]))
        bench.clock.run_next()
        asked.append(len(bench.sent) - before)
    assert asked == [4, 4, 2]


# -- storage that takes its time


def kinds(bench: Bench) -> list[int]:
    return [item[2][0] for _, item in bench.sent]


def elected() -> Bench:
    """Return a bench whose replica stands for election."""
    bench = Bench()
    group = bench.host.groups[1]
    core = Core(
        id="b#1", group=1, epoch=EPOCH, membership=Membership(("a#1", "b#1")), now_ns=bench.clock.now(),
        timing=TIMING, limits=Limits(), rounds=bench.host.rounds, election_timeout_ns=lambda: 1200 * MS,
    )  # fmt: skip
    group.core = core
    bench.host.mark(group)
    bench.host.settle()
    core.campaign(bench.clock.now() + 2000 * MS)
    bench.host.mark(group)
    bench.host.settle()
    return bench


def test_a_follower_acknowledges_what_is_stored_and_a_repeat_waits_for_it_too() -> None:
    bench = Bench()
    bench.storage.is_slow = True
    bench.tell(append(1, [b"x"]))
    bench.tell(append(1, [b"x"]))
    assert not bench.sent and len(bench.storage.pending) == 2
    assert bench.replicas[1].state == [b"x"], "a majority stored it: to apply it waits for nobody's disk"
    bench.storage.release()
    bench.host.settle()
    assert kinds(bench) == [APPEND_REPLY, APPEND_REPLY]
    assert bench.replicas[1].state == [b"x"], "once"


def test_a_vote_leaves_when_it_is_stored() -> None:
    bench = Bench()
    bench.storage.is_slow = True
    bench.host.on_consensus("a#1", pack([[1, EPOCH, [VOTE, 5, 9, 4, 1]]]))
    bench.host.settle()
    assert not bench.sent
    bench.storage.release()
    bench.host.settle()
    assert [item[2] for _, item in bench.sent] == [[VOTE_REPLY, 5, 1]]


def test_a_leader_sends_entries_while_it_writes_them_and_counts_itself_when_it_has() -> None:
    bench = elected()
    core = bench.host.groups[1].core
    bench.tell([1, EPOCH, [PRE_VOTE_REPLY, 0, 1, 1]])
    bench.storage.is_slow = True
    bench.tell([1, EPOCH, [VOTE_REPLY, 1, 1]])
    assert core.role.name == "LEADER" and bench.sent[-1][1][2][0] == APPEND, "at once"
    bench.tell([1, EPOCH, [APPEND_REPLY, 1, 5, 0, 1, 0, 0]])
    assert core.commit == 0, "one of two stored it"
    bench.storage.release()
    bench.host.settle()
    assert core.commit == 1


def test_requests_for_votes_wait_for_the_own_vote() -> None:
    bench = elected()
    bench.storage.is_slow = True
    bench.sent.clear()
    bench.tell([1, EPOCH, [PRE_VOTE_REPLY, 0, 1, 1]])
    assert not bench.sent
    bench.storage.release()
    bench.host.settle()
    assert kinds(bench) == [VOTE]


def test_a_leader_whose_term_is_not_stored_sends_no_entries_of_it() -> None:
    """A lone voter leads at once; after a crash it might lead the same term again, with other entries."""
    bench = Bench()
    group = bench.host.groups[1]
    core = Core(
        id="b#1", group=1, epoch=EPOCH, membership=Membership(("b#1",), (), ("a#1",)), now_ns=bench.clock.now(),
        timing=TIMING, limits=Limits(), rounds=bench.host.rounds, election_timeout_ns=lambda: 1200 * MS,
    )  # fmt: skip
    group.core = core
    bench.storage.is_slow = True
    core.tick(bench.clock.now())
    bench.host.mark(group)
    bench.host.settle()
    core.propose(b"x")
    bench.host.mark(group)
    bench.host.settle()
    assert core.role.name == "LEADER" and not bench.sent
    bench.storage.release()
    bench.host.settle()
    assert APPEND in kinds(bench)


def test_what_is_stored_of_a_replica_that_failed_meanwhile_is_told_nobody() -> None:
    bench = Bench()
    bench.storage.is_slow = True
    bench.tell(append(1, [b"x"]))
    bench.host.fail(bench.host.groups[1], MemoryError())
    bench.storage.release()
    bench.host.settle()
    assert not bench.sent
