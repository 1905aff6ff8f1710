"""What is held, from what its clients saw: when each was sure to hold, and with which token."""

from __future__ import annotations

from collections.abc import Sequence

from ...history import FOREVER_NS, Operation
from ..violation import Violation
from .intervals import RunningMaximum, RunningSum, most_at_once

__all__ = ["check_election", "check_fence", "check_lock", "check_rw_lock", "check_semaphore"]

_ALL = 1 << 32
"""What a writer counts for: more than there can be readers."""

LEFT = "NotStarted"
"""How a call ends that waits in line when its client is left."""


def _holds(operations: Sequence[Operation], structure: str) -> list[Operation]:
    """Return the requests that were granted."""
    asking = (f"{structure}.acquire", f"{structure}.try")
    return [
        operation
        for operation in operations
        if operation.kind in asking
        and operation.is_ok
        and operation.value is not None
        and operation.value is not False
    ]


def _sure(holds: Sequence[Operation]) -> list[tuple[int, int, int, int]]:
    """Return the intervals in which clients knew that they held, as (from, to, permits, number)."""
    intervals = []
    for hold in holds:
        permits = hold.args.get("n", 1)
        assert isinstance(permits, int) and hold.return_ns is not None
        if hold.until_ns is not None:
            intervals.append((hold.return_ns, hold.until_ns, permits, hold.number))
    return intervals


def _possible(operations: Sequence[Operation], structure: str) -> list[tuple[int, int, int, int]]:
    """Return the longest intervals in which requests may have held.

    A release that answers False ends nothing: its client lost the hold, and the slot may give it up later.
    """
    ends: dict[int, int] = {}
    for operation in operations:
        if operation.kind == f"{structure}.release" and operation.is_ok and operation.value is True:
            grant = operation.args["grant"]
            assert isinstance(grant, int)
            ends[grant] = operation.end_ns
    intervals = []
    for operation in operations:
        is_asking = operation.kind in (f"{structure}.acquire", f"{structure}.try")
        if is_asking and (not operation.is_ok or operation.value not in (None, False)):
            # One that was withdrawn stood in line until its end; one of unknown outcome may for ever, and so may one
            # whose client was left: nobody waits any more for the word that its session is over.
            permits = operation.args.get("n", 1)
            assert isinstance(permits, int)
            is_open = operation.is_possible or operation.error == LEFT
            rest_ns = FOREVER_NS if is_open else operation.end_ns
            end_ns = ends.get(operation.number, rest_ns)
            intervals.append((operation.call_ns, end_ns, permits, operation.number))
    return intervals


def check_lock(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check exclusion (20, 23), tokens (21), and that a try finds it taken only when somebody may hold it (1)."""
    holds = _holds(operations, "lock")
    return [
        *_check_overlap(f"lock {name}", _sure(holds), 1, 23),
        *_check_tokens(f"lock {name}", holds),
        *_check_turns(f"lock {name}", holds),
        *_check_releases("lock", name, operations),
        *_check_refusals(name, operations),
    ]


def _check_overlap(
    subject: str, sure: Sequence[tuple[int, int, int, int]], permits: int, number: int
) -> list[Violation]:
    most, holders = most_at_once(sure)
    if most <= permits:
        return []
    return [
        Violation(number, subject, f"{most} held at once where {permits} may be: requests {holders}", holders)
    ]


def _check_tokens(subject: str, holds: Sequence[Operation]) -> list[Violation]:
    """A token belongs to one grant, and a grant that certainly came later has a higher one."""
    found: list[Violation] = []
    owners: dict[int, int] = {}
    for hold in holds:
        token = hold.value
        assert isinstance(token, int)
        if token in owners:
            text = f"token {token} was given to both #{owners[token]} and #{hold.number}"
            found.append(Violation(21, subject, text, (owners[token], hold.number)))
        owners[token] = hold.number
    before = RunningMaximum((hold.end_ns, _token(hold), hold.number) for hold in holds)
    for hold in holds:
        earlier = before.before(hold.call_ns)
        if earlier is not None and earlier[0] > _token(hold):
            text = (
                f"#{hold.number} got token {hold.value}, but #{earlier[1]} had {earlier[0]} before it asked"
            )
            found.append(Violation(21, subject, text, (earlier[1], hold.number)))
    return found


def _check_turns(subject: str, holds: Sequence[Operation]) -> list[Violation]:
    """One holds at a time, in the order of tokens."""
    found = []
    # The hold of the lower token certainly ended before the higher one was granted: it must not reach past it.
    latest_end, latest = -1, -1
    for hold in sorted(holds, key=lambda hold: (hold.value, hold.number)):
        assert hold.return_ns is not None
        if hold.return_ns < latest_end:
            text = f"#{hold.number} was granted token {hold.value} while #{latest} still held a lower one"
            found.append(Violation(21, subject, text, (latest, hold.number)))
        if hold.until_ns is not None and hold.until_ns > latest_end:
            latest_end, latest = hold.until_ns, hold.number
    return found


def _token(hold: Operation) -> int:
    assert isinstance(hold.value, int)
    return hold.value


def _check_releases(structure: str, name: str, operations: Sequence[Operation]) -> list[Violation]:
    """A hold is released once (26)."""
    found = []
    released: dict[int, int] = {}
    for operation in operations:
        if operation.kind == f"{structure}.release" and operation.is_ok and operation.value is True:
            grant = operation.args["grant"]
            assert isinstance(grant, int)
            if grant in released:
                text = f"#{released[grant]} and #{operation.number} both released the hold of #{grant}"
                found.append(Violation(26, f"{structure} {name}", text, (released[grant], operation.number)))
            released[grant] = operation.number
    return found


def _check_refusals(name: str, operations: Sequence[Operation]) -> list[Violation]:
    possible = _possible(operations, "lock")
    starts = RunningSum((start, 1) for start, _, _, _ in possible)
    ends = RunningSum((end, 1) for _, end, _, _ in possible)
    found = []
    for operation in operations:
        if operation.kind == "lock.try" and operation.is_ok and operation.value is None:
            begun = starts.until(operation.end_ns)
            over = ends.before(operation.call_ns)
            if begun <= over:
                text = f"#{operation.number} found it taken when nobody can have held it or waited"
                found.append(Violation(1, f"lock {name}", text, (operation.number,)))
    return found


def check_semaphore(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check that sure holds never exceed the permits (28), and that `available` answers possible counts (1)."""
    permits = max((_permits(operation) for operation in operations if "permits" in operation.args), default=0)
    resized = [one for one in operations if one.kind == "semaphore.resize" and one.is_possible]
    permits = max([permits, *(_count(one, "to") for one in resized)])
    sure = _sure(_holds(operations, "semaphore"))
    found = _check_overlap(f"semaphore {name}", sure, permits, 28)
    asked = [one for one in operations if one.kind == "semaphore.available" and one.is_ok]
    if not asked or resized:
        return found  # how many there are at each moment the step checks know
    possible = _possible(operations, "semaphore")
    for operation in asked:
        value = operation.value
        assert isinstance(value, int)
        low, high = _taken(operation, sure, possible)
        if not low <= permits - value <= high or value < 0:
            text = f"#{operation.number} found {value} of {permits} free when {low} to {high} can have been taken"
            found.append(Violation(1, f"semaphore {name}", text, (operation.number,)))
    return found


def _permits(operation: Operation) -> int:
    return _count(operation, "permits")


def _count(operation: Operation, name: str) -> int:
    count = operation.args[name]
    assert isinstance(count, int)
    return count


def _taken(
    asked: Operation, sure: Sequence[tuple[int, int, int, int]], possible: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int]:
    """Return the fewest and the most permits that can have been taken at some time while `asked` was under way."""
    start_ns, end_ns = asked.call_ns, asked.end_ns
    throughout = sum(amount for start, end, amount, _ in sure if start < start_ns and end > end_ns)
    at_all = sum(amount for start, end, amount, _ in possible if start <= end_ns and end >= start_ns)
    return throughout, max(at_all, throughout)


def check_rw_lock(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check that no writer holds beside anybody (23), that tokens follow the order of requests (21), and releases."""
    holds, subject = _holds(operations, "rw_lock"), f"rw_lock {name}"
    amounts = {hold.number: _ALL if hold.args["mode"] == "write" else 1 for hold in holds}
    sure = [(start, end, amounts[number], number) for start, end, _, number in _sure(holds)]
    return [
        *_check_overlap(subject, sure, _ALL, 23),
        *_check_tokens(subject, holds),
        *_check_releases("rw_lock", name, operations),
    ]


def check_election(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check that at most one leads (23), in terms that grow (21), and that who is told of was or is the leader (1)."""
    holds, subject = _holds(operations, "election"), f"election {name}"
    found = [
        *_check_overlap(subject, _sure(holds), 1, 23),
        *_check_tokens(subject, holds),
        *_check_turns(subject, holds),
        *_check_releases("election", name, operations),
    ]
    possible = {number: (start, end) for start, end, _, number in _possible(operations, "election")}
    sure = _sure(holds)
    destroyed = [one for one in operations if one.kind == "election.destroy" and one.is_possible]
    for told in operations:
        if told.kind in ("election.told", "election.leader") and told.is_ok:
            wrong = _wrong_leader(told, holds, possible, sure, destroyed)
            if wrong is not None:
                found.append(Violation(1, subject, f"#{told.number} {wrong}", (told.number,)))
    return found


def _wrong_leader(
    told: Operation,
    holds: Sequence[Operation],
    possible: dict[int, tuple[int, int]],
    sure: Sequence[tuple[int, int, int, int]],
    destroyed: Sequence[Operation],
) -> str | None:
    """Say why the leader of the term that was told cannot have led at any time while that was asked."""
    if told.value == 0:
        # Whoever led what was destroyed may not know yet, and may have been granted it before without having heard.
        last_ns = max([one.end_ns for one in destroyed if one.call_ns < told.end_ns], default=-1)
        later = {hold.number for hold in holds if hold.call_ns > last_ns}
        throughout = [
            number
            for start, end, _, number in sure
            if number in later and start < told.call_ns and end > told.end_ns
        ]
        return f"told that nobody leads while #{throughout[0]} led all the time" if throughout else None
    for hold in holds:
        if hold.value == told.value:
            start, end = possible[hold.number]
            if start > told.end_ns or end < told.call_ns:
                return f"told of the term of #{hold.number}, which was not its time"
    return None


def check_fence(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check that a fenced resource takes no token below one it took before (22), and refuses for a reason only."""
    writes = [one for one in operations if one.kind in ("fence.write", "fence.check")]
    taken = [one for one in writes if one.is_ok and one.value is True]
    before = RunningMaximum((one.end_ns, _fence_token(one), one.number) for one in taken)
    found = []
    for write in taken:
        earlier = before.before(write.call_ns)
        if earlier is not None and earlier[0] > _fence_token(write):
            text = (
                f"#{write.number} came through with token {write.args['token']} after #{earlier[1]} did with "
                f"{earlier[0]}"
            )
            found.append(Violation(22, f"fence {name}", text, (earlier[1], write.number)))
    for write in writes:
        if write.is_ok and write.value is False:
            rivals = [one for one in writes if one.is_possible and _fence_token(one) > _fence_token(write)]
            if not any(one.call_ns < write.end_ns for one in rivals):
                text = f"#{write.number} was refused, but no higher token can have been seen"
                found.append(Violation(22, f"fence {name}", text, (write.number,)))
    return found


def _fence_token(operation: Operation) -> int:
    token = operation.args["token"]
    assert isinstance(token, int)
    return token
