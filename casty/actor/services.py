"""Values of service discovery: keys, listings, and the messages that a receptionist takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from casty.actor.ref import ActorRef
from casty.address import NodeAddress
from casty.checks import check_name, shown
from casty.ordered import FrozenOrderedSet

__all__ = [
    "Deregister", "Find", "Listing", "Register", "ServiceInstance", "ServiceKey", "Subscribe", "check_key",
]  # fmt: skip

M = TypeVar("M")


@dataclass(frozen=True)
class ServiceKey(Generic[M]):
    """The name of a service whose instances take messages of type M.

    Raises
    ------
    TypeError, ValueError
        The name is no text, an empty one, or one that UTF-8 cannot encode.

    Examples
    --------
    >>> ServiceKey[str]("printer").name
    'printer'
    """

    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "service key")


@dataclass(frozen=True)
class ServiceInstance(Generic[M]):
    """One living instance of a service and the node it runs on."""

    ref: ActorRef[M]
    node: NodeAddress


@dataclass(frozen=True)
class Listing(Generic[M]):
    """The instances of a service at one moment, in the order in which they registered."""

    key: ServiceKey[M]
    instances: FrozenOrderedSet[ServiceInstance[M]]


@dataclass(frozen=True)
class Register(Generic[M]):
    """Make `ref` an instance of the service."""

    key: ServiceKey[M]
    ref: ActorRef[M]


@dataclass(frozen=True)
class Deregister(Generic[M]):
    """Take `ref` out of the service."""

    key: ServiceKey[M]
    ref: ActorRef[M]


@dataclass(frozen=True)
class Subscribe(Generic[M]):
    """Send the current listing at once, and every changed one after it."""

    key: ServiceKey[M]
    reply_to: ActorRef[Listing[M]]


@dataclass(frozen=True)
class Find(Generic[M]):
    """Send the current listing once."""

    key: ServiceKey[M]
    reply_to: ActorRef[Listing[M]]


def check_key(key: object, expected: str = "a path as text or a ServiceKey") -> None:
    """Raise `TypeError` unless it is a service key."""
    if not isinstance(key, ServiceKey):
        raise TypeError(f"key: expected {expected}, found {shown(key)}")
