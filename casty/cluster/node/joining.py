"""How a node gets into its cluster, and asks its way back: the founding or joining at its start, and what follows.

A process that was silent for long is given up as ``down``, and the entries that would tell it so go to nobody who was
given up. So a process that is not known to be up asks again and again, also one that has its control group.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from casty.cluster.control.formation import Founding, Identity, Policy
from casty.cluster.control.machine import ControlMachine
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.control_group import ControlGroup
from casty.cluster.node.entrance import Entrance
from casty.cluster.node.founding_document import WallGeneration, document_of
from casty.cluster.node.links import Links
from casty.cluster.node.options import NodeOptions, policy_of
from casty.complaint import one_line
from casty.config import SECOND_NS
from casty.discovery import Discovery
from casty.ports import Runtime

__all__ = ["Joining"]

log = logging.getLogger("casty.node")


class Disk(Protocol):
    """The node's disk, if it has one."""

    def join_own(self, identity: Identity) -> None:
        """Join by itself, where this process leads the control group."""


class Joining:
    """The way of one process into its cluster.

    Parameters
    ----------
    options, runtime
        What the user asked for, and the ports.
    entrance
        Says what this process is called, and where it is reached.
    links, discovery
        Whom it is linked with, and whom the configuration says to ask.
    control_group, disk
        Where it founds or joins.
    wall_generation
        The lowest generation by the wall clock.

    Attributes
    ----------
    bootstrap
        Founds or joins, and then knows of which cluster this process is.
    """

    def __init__(
        self,
        options: NodeOptions,
        runtime: Runtime,
        entrance: Entrance,
        links: Links,
        discovery: Discovery,
        control_group: ControlGroup,
        disk: Disk | None,
        wall_generation: WallGeneration,
    ) -> None:
        self._options = options
        self._runtime = runtime
        self._address, self._node_id = entrance.address, entrance.node_id
        self._identity = Identity(entrance.node_id, entrance.incarnation, *entrance.address, options.traits)
        self._links = links
        self._discovery = discovery
        self._control_group = control_group
        self._disk = disk
        self._wall_generation = wall_generation
        self._was_up = False
        """Whether the cluster has had this very process up; it stays so."""
        self._led_ns = 0
        """When the control group was led last, as far as this process knew; it never falls."""
        self.bootstrap = Bootstrap(
            Founding(self._identity, self._policy(), self._document, runtime.clock.now(), wall_generation),
            self._identity, links, runtime.clock, control_group.founded, control_group.joined,
            lambda text: log.warning("%s", one_line(text)), discovery.troubles_of,
        )  # fmt: skip

    def begin(self, is_needed: Callable[[], bool]) -> None:
        """Dial the seeds, and found or join unless the disk said of which cluster this process is.

        Parameters
        ----------
        is_needed
            Whether this process looks for somebody at the moment.
        """
        if self._wall_generation.born_wall_s < 1:
            log.warning(
                "the wall clock of %s stands before 2025: a cluster that is founded now takes the lowest "
                "generation above all heard of, so fencing tokens may not grow over its loss; set the clock",
                self._node_id,
            )
        self._links.want_seeds(self._discovery.addresses)
        self._discovery.begin(self.reseed, is_needed)
        if not self.bootstrap.is_done:
            self.bootstrap.begin()

    def reseed(self) -> None:
        """What the configuration says to ask names other seeds than before."""
        self._links.want_seeds(self._discovery.addresses)
        self.bootstrap.reseed(self._policy())

    def _policy(self) -> Policy:
        return policy_of(self._options, self._discovery.addresses, self._address)

    def _document(self, founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
        cluster_id = self._runtime.entropy.token("cluster", 8).hex()
        return document_of(self._options, self._node_id, founding_id, cluster_id, founders, generation)

    def tick(self, now_ns: int, machine: ControlMachine, *, is_going: bool) -> None:
        """Ask to join while this process is not known to be up, or may have been removed while it was cut off.

        Parameters
        ----------
        is_going
            Whether it stops or leaves: then it asks nobody.
        """
        me = machine.members.get(self._node_id)
        self._was_up = self._was_up or (me is not None and me.key == self._identity.key and me.was_up)
        self._led_ns = max(self._led_ns, self._control_group.heard_ns(now_ns))
        is_lost = now_ns - self._led_ns > int(self._options.settings.down_after_s * SECOND_NS)
        if not (is_lost or not self._was_up) or is_going:
            return
        if self.bootstrap.ask_again(now_ns) and self._disk is not None:
            self._disk.join_own(self._identity)

    def close(self) -> None:
        """Ask nobody any more."""
        self.bootstrap.close()
        self._discovery.close()
