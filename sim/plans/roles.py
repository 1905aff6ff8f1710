"""Roles that a fault in a plan may aim at: who has one is looked up when the fault fires, see `sim.runner.roles`."""

from __future__ import annotations

__all__ = ["ROLES", "is_role"]

ROLES = (
    "@leader", "@clients", "@acker", "@follower", "@control", "@holder", "@waiter", "@starting", "@node", "@heir",
    "@elector", "@changer", "@comer", "@expirer", "@late", "@writer",
)  # fmt: skip
"""Roles a target may name.

``@leader``: the leader of the busiest slot, the one with most calls in flight. ``@clients``: everybody who has calls
or holds in that slot. ``@acker``: its follower that wrote an entry last; ``@follower``: the other one that is most
behind. ``@control``: the leader of the control group. ``@holder``: a client that surely holds a lock; ``@waiter``:
a client with a call in flight. ``@starting``: a node that does not serve yet; ``@node``: the first one that serves.
``@heir``: the latest new leader with entries of which it does not know whether they are committed; ``@elector``: the
first of those who voted for it. ``@changer``: the leader that last began to change the voters of its group;
``@comer``: the first of those whom it takes in.
``@expirer``: the leader that gave up a session last, for its silence; ``@late``: the client whose session that is.
``@writer``: the node that put events of an entity into a journal last.
"""


def is_role(target: str) -> bool:
    """Whether a target is a role rather than a name."""
    return target.startswith("@")
