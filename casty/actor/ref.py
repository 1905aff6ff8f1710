"""References: the only way to reach an actor. A reference is a value; `tell` never blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NoReturn, Protocol, TypeVar, runtime_checkable

from casty.address import ActorAddress
from casty.errors import CastyError

__all__ = ["ActorRef", "LocalActorRef", "Question", "RemoteActorRef", "RemoteSender", "Uncopied", "system_of"]

M_contra = TypeVar("M_contra", contravariant=True)
R_contra = TypeVar("R_contra", contravariant=True)


@runtime_checkable
class ActorRef(Protocol[M_contra]):
    """Where messages of type M can be sent.

    Examples
    --------
    >>> def greet(ref: ActorRef[str]) -> None:
    ...     ref.tell("hello")
    """

    @property
    def id(self) -> str:
        """The actor's path, unique among the living actors of its system."""
        ...

    def tell(self, message: M_contra, /) -> None:
        """Send without waiting; never raises for a dead or unreachable target.

        Raises
        ------
        asyncio.QueueFull
            The actor is local, its mailbox is full and its overflow strategy is ``reject``.
        """
        ...


class Question(Protocol[R_contra]):
    """A message that says whom to reply to; from its type follows what ``ask`` returns."""

    @property
    def reply_to(self) -> ActorRef[R_contra]:
        """Who takes the reply."""
        ...


class RemoteSender(Protocol):
    """What carries messages to other processes."""

    def send(self, address: ActorAddress, message: object, sender: ActorAddress | None) -> None:
        """Send without blocking; what cannot be delivered becomes a dead letter."""

    def refuse(self, sender: ActorAddress | None, error: CastyError) -> None:
        """Tell whoever asked that there will be no reply."""


class Uncopied:
    """A value that is its own copy, wherever a message with it is copied, and that no pickle can hold.

    A copy would be one of the system behind it.
    """

    __slots__ = ()

    def __copy__(self) -> Uncopied:
        return self

    def __deepcopy__(self, memo: object) -> Uncopied:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"{self!r:.200} cannot be pickled, for it works in this process only; send it in a message, keep the uri "
            "of its address, or use PickleSerializer"
        )


class LocalActorRef(Uncopied, Generic[M_contra]):
    """A reference that means something in this process only.

    `number` is that of the actor's life; None for whoever has the path. `post` is how its system sends to it.
    """

    __slots__ = ("id", "number", "post")

    def __init__(
        self, id: str, post: Callable[[str, object, int | None], object], number: int | None = None
    ) -> None:
        self.id = id
        self.number = number
        self.post = post

    def tell(self, message: M_contra, /) -> None:
        """Put a message into the actor's mailbox; see `ActorRef.tell`."""
        self.post(self.id, message, self.number)

    def __repr__(self) -> str:
        return f"<ActorRef {self.id}>"

    def __casty_ref__(self) -> ActorAddress:
        raise RuntimeError(
            f"the reference {self.id!r} belongs to a plain ActorSystem and means nothing in another process; "
            "use ClusteredActorSystem or ClusterClient for actors that are reached from elsewhere"
        )


class RemoteActorRef(Uncopied, Generic[M_contra]):
    """A reference that travels inside messages; equal when the addresses are.

    Parameters
    ----------
    address
        Where the actor lives.
    post
        How the system that made this reference sends to it.

    Notes
    -----
    No dataclass: ``dataclasses.asdict`` of a message that has one would take it apart.
    """

    __slots__ = ("address", "post")

    address: ActorAddress
    post: Callable[[ActorAddress, object], object]

    def __init__(self, address: ActorAddress, post: Callable[[ActorAddress, object], object]) -> None:
        _set_address(self, address)
        _set_post(self, post)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name}: a reference cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}: a reference cannot be changed")

    def __eq__(self, other: object) -> bool:
        return self.address == other.address if isinstance(other, RemoteActorRef) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.address)

    @property
    def id(self) -> str:
        """The actor's path, with its leading slash."""
        return self.address.path

    def tell(self, message: M_contra, /) -> None:
        """Send a message at most once; see `ActorRef.tell`."""
        self.post(self.address, message)

    def __casty_ref__(self) -> ActorAddress:
        return self.address

    def __repr__(self) -> str:
        return f"<ActorRef {self.address.to_uri()}>"


def system_of(ref: object) -> object | None:
    """Return the system that posts what a reference is told; None for what is no plain reference."""
    return getattr(ref.post, "__self__", None) if isinstance(ref, (RemoteActorRef, LocalActorRef)) else None


# As `object.__setattr__` does, in half the time: each question makes several.
_set_address, _set_post = (vars(RemoteActorRef)[name].__set__ for name in ("address", "post"))
