"""Election: the client class. What a slot does with its commands is in `machines/election.py`.

Why not a lock in a process that restarts when it loses it? A lock tells nobody else who leads, and a process that finds
out late that it lost the lock goes on working beside its successor. Here a leader has a name, a term whose number
protects what it changes elsewhere, and stops before another can be elected.
"""

from __future__ import annotations

from casty import runtime
from casty.checks import check_name, check_timeout
from casty.distributed.exclusive import Exclusive
from casty.distributed.holding_info import Leader, leader_of
from casty.distributed.machines.base import ELECTION, OK
from casty.distributed.machines.election import CAMPAIGN, MAX_LABEL_BYTES, WATCH
from casty.distributed.machines.wait_queue import INFO
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import OutcomeUnknown

__all__ = ["Election", "LeaderWatch"]


class Election(Exclusive):
    """One candidate of an election, and a way to hear who leads.

    A leader leads until it resigns, its client or system is left, or the cluster gives its session up; then the
    candidate that waited longest is elected. It knows of a loss before another can lead, see `is_leader` and
    `wait_lost`. What it does *outside* the cluster is only safe if that other side refuses a `token` lower than one it
    has seen.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    candidate
        Under which name this instance is elected, not empty, at most 255 bytes in UTF-8. None: a name is drawn.
    timeout
        Deadline of each call in seconds, but for `campaign` and `watch`; None waits for ever.

    Examples
    --------
    >>> async def tick(d: Distributed) -> None:
    ...     async with d.election("cron", candidate="host-1") as election:
    ...         print("term", election.token)
    """

    __slots__ = ("_candidate",)
    _kind = ELECTION

    def __init__(
        self,
        *,
        gateway: EntityGateway,
        region_ref: RegionRef | None,
        name: str,
        candidate: str | None = None,
        timeout: float | None = 5.0,
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        if candidate is None:
            candidate = f"candidate-{runtime.current().entropy.token('candidate', 6).hex()}"
        check_name(candidate, "candidate", MAX_LABEL_BYTES)
        self._candidate = candidate

    @property
    def candidate(self) -> str:
        """The name under which this instance is elected."""
        return self._candidate

    @property
    def is_leader(self) -> bool:
        """True only while nobody else can have been elected; for a term, once False is for good.

        Any thread may ask, as one that works for the leader beside the event loop.
        """
        return self._is_held()

    async def campaign(self, timeout: float | None = None) -> None:
        """Wait until this instance leads.

        Candidates are elected in the order in which the cluster saw their requests. A call that times out or is
        cancelled leaves nothing behind.

        Parameters
        ----------
        timeout
            How long to wait, in seconds; None waits for ever.

        Raises
        ------
        AlreadyHeld
            The calling task leads already with this instance.
        TimeoutError, Destroyed, Unavailable, OutcomeUnknown
            As for `Lock.acquire`.
        """
        check_timeout(timeout)
        await self._acquire_by([CAMPAIGN, self._candidate.encode()], timeout)

    async def resign(self) -> bool:
        """Lead no more; the next candidate is elected at once.

        Returns
        -------
        bool
            True if this instance led until now.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time. The term is given up all the same, and ends by itself.
        """
        return await self._release()

    async def leader(self) -> Leader | None:
        """Return who leads, None if nobody does; it may have changed when the answer is here.

        Raises
        ------
        Unavailable
            No quorum until the deadline.
        """
        return await self.present_leader(self._timeout_s)

    async def present_leader(self, timeout_s: float | None) -> Leader | None:
        """See `leader`."""
        reply = await self._port.read(ELECTION, self._entity, [INFO], timeout_s=timeout_s)
        if reply[0] != OK:
            self._refused(reply)
        holder = reply[1][0]
        return None if holder is None else leader_of(holder[1], holder[2])

    async def next_leader(self, known: Leader | None) -> Leader | None:
        """Wait until another leads than the known one, or nobody does where somebody did."""
        command = [WATCH, 0 if known is None else known.token]
        reply, _ = await self._port.wait(ELECTION, self._entity, command, timeout_s=None)
        if reply[0] != OK:
            self._refused(reply)
        return leader_of(reply[2], reply[3])

    def watch(self) -> LeaderWatch:
        """Return an iterator over the leaders: the present one, or None, and then each change as it comes.

        Terms that were over before they could be told are passed over; what is told last is the present state, and
        terms only grow. Nothing polls: the slot answers when there is news. It goes on over the loss of its session and
        of a slot's leader, and ends only with its client or system (`NotStarted`) or by `break`.

        Examples
        --------
        >>> async def follow(d: Distributed) -> None:
        ...     async for leader in d.election("cron").watch():
        ...         print("nobody" if leader is None else leader.candidate)
        """
        return LeaderWatch(self)

    async def __aenter__(self) -> Election:
        """Campaign without a deadline; the body is cancelled, and `LockLost` raised, when the term ends before it."""
        self._holds.enter(await self._acquire_by([CAMPAIGN, self._candidate.encode()], None))
        return self


class LeaderWatch:
    """See `Election.watch`; for one task at a time."""

    __slots__ = ("_election", "_known", "_was_told")

    def __init__(self, election: Election) -> None:
        self._election = election
        self._known: Leader | None = None
        self._was_told = False

    def __aiter__(self) -> LeaderWatch:
        """Return itself."""
        return self

    async def __anext__(self) -> Leader | None:
        """Return the present leader the first time, and then wait for the next change."""
        while True:
            try:
                if self._was_told:
                    self._known = await self._election.next_leader(self._known)
                else:
                    self._known = await self._election.present_leader(None)
            except OutcomeUnknown:
                continue  # its session is gone, and the request with it: asked again, it hears all the same
            self._was_told = True
            return self._known
