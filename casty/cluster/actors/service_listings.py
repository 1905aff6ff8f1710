"""Listings of services out of topologies: what an instance is made of is read once, however often others change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from casty.actor.local import LocalSystem
from casty.actor.services import Listing, ServiceInstance, ServiceKey
from casty.address import ActorAddress, NodeAddress
from casty.cluster.control.topology import Topology
from casty.ordered import FrozenOrderedSet

__all__ = ["Listings"]

M = TypeVar("M")


class Listings:
    """The listings of one process.

    Bounds: `_known` has a row per service that was listed here and that the cluster has, with the instances of its
    last listing. A row goes with its service, an instance with the next listing.
    """

    __slots__ = ("_known", "_local")

    def __init__(self, local: LocalSystem) -> None:
        self._local = local
        self._known: dict[str, dict[tuple[str, str], ServiceInstance[Any]]] = {}

    def of(self, topology: Topology | None, key: ServiceKey[M]) -> Listing[M]:
        """Return the instances of a service in a topology; none before the first one."""
        known: dict[tuple[str, str], ServiceInstance[M]] = self._known.pop(key.name, {})
        found: dict[tuple[str, str], ServiceInstance[M]] = {}
        members = {} if topology is None else topology.members
        for row in () if topology is None else topology.services.get(key.name, ()):
            member = members.get(row[1])
            if member is not None and member.status not in ("down", "removed"):
                found[row] = known.get(row) or self._instance(*row)
        if found:
            self._known[key.name] = found
        return Listing(key, FrozenOrderedSet(found.values()))

    def _instance(self, uri: str, node_id: str) -> ServiceInstance[Any]:
        address = ActorAddress.from_uri(uri)
        assert address.host is not None, "a registered address names its node"
        assert address.port is not None, "a registered address names its node"
        ref = self._local.make_ref(replace(address, node_id=node_id))
        return ServiceInstance(ref, NodeAddress(address.host, address.port))

    def keep(self, topology: Topology) -> None:
        """Forget the services that the cluster has no more."""
        for name in [name for name in self._known if name not in topology.services]:
            del self._known[name]
