"""What a process knows of another one that it has watches with, and when that counts as its end. Pure."""

from __future__ import annotations

from enum import Enum

__all__ = ["Presence", "Standing", "Verdict"]


class Standing(Enum):
    """How a process stands now."""

    MEMBER = "member"
    """The topology names it, and not as down."""
    DOWN = "down"
    """The topology names it, and the cluster took it for lost; it may come back."""
    LINKED = "linked"
    """No topology names it, and somebody is linked with it: a client, or a node on its way in."""
    UNKNOWN = "unknown"
    """Neither: it may have ended, or its links are gone for a moment."""


class Verdict(Enum):
    """What follows from news of a process."""

    NOTHING = "nothing"
    BACK = "back"
    """It can be reached again: everything is to be said again."""
    DOWN = "down"
    """Its actors count as ended; it may live."""
    GONE = "gone"
    """It has ended for good."""


class Presence:
    """What was known of one process so far.

    A member that the topology names no more, or names as another process, has ended: topologies never go back.
    """

    __slots__ = ("missing_ns", "since_ns", "standing")

    def __init__(self) -> None:
        self.standing: Standing | None = None
        self.missing_ns: int | None = None
        """For how long nobody has seen it, in time that counts; None while it is seen or judged by the cluster."""
        self.since_ns = 0
        """When it went missing the last time: nothing counts that was before."""

    def look(self, standing: Standing, now_ns: int) -> Verdict:
        """Take how it stands now."""
        before, self.standing = self.standing, standing
        if standing is Standing.UNKNOWN:
            if before in (Standing.MEMBER, Standing.DOWN):
                return Verdict.GONE
            if self.missing_ns is None:
                self.missing_ns, self.since_ns = 0, now_ns
            return Verdict.NOTHING
        self.missing_ns = None
        if before in (Standing.MEMBER, Standing.DOWN) and standing is Standing.LINKED:
            return Verdict.GONE
        if standing is Standing.DOWN:
            return Verdict.NOTHING if before is Standing.DOWN else Verdict.DOWN
        return Verdict.BACK if before in (Standing.DOWN, Standing.UNKNOWN) else Verdict.NOTHING

    def passed(self, time_ns: int, grace_ns: int) -> bool:
        """So much time counts more; True when it was missing for too long."""
        if self.missing_ns is None:
            return False
        self.missing_ns += time_ns
        return self.missing_ns >= grace_ns
