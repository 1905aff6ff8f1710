"""Addresses of nodes and actors: values that every layer may use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import NamedTuple

from casty.checks import shown
from casty.errors import ConfigError
from casty.limits import MAX_TEXT_BYTES

__all__ = [
    "ActorAddress",
    "NodeAddress",
    "PeerKey",
    "ReplicaId",
    "check_port",
    "check_text",
    "checked_addresses",
    "is_loopback",
    "is_unspecified",
    "machine_of",
    "node_id_of",
    "peer_key",
    "process_of",
    "replica_id",
    "replica_id_of",
    "replica_number",
    "said_at",
    "start_of",
    "unproven_key",
]

SCHEME = "casty://"

PeerKey = str
"""One process of a node: ``node_id#incarnation``. A restarted process has a new key."""

ReplicaId = str
"""One replica of a group: its process's peer key, and ``~n`` behind it for the n-th that the process began anew."""

MAX_PORT = 65535
MAX_START_DIGITS = 18
EXPECTED_PAIRS = "expected a list of (host, port) like [('10.0.0.1', 25520)]"


def peer_key(node_id: str, incarnation: str) -> PeerKey:
    """Name one incarnation of a node."""
    return f"{node_id}#{incarnation}"


def node_id_of(key: PeerKey) -> str:
    """Return the node id inside a peer key."""
    return key.rpartition("#")[0]


def replica_id_of(key: PeerKey) -> PeerKey:
    """Return under which key a process takes part in groups: its own, or with a disk, that of the disk.

    The incarnation of a process with a disk is ``disk+start+random``: the identity of the disk, how often a process was
    started with it, and what tells copies of the disk apart. Each start is another process; all hold the same replicas.

    >>> replica_id_of("n1#ab+3+cd"), replica_id_of("n1#ab"), replica_id_of("n+1#22")
    ('n1#ab', 'n1#ab', 'n+1#22')
    """
    if "+" not in key:
        return key  # the usual case, at a third of the price
    node_id, mark, incarnation = key.rpartition("#")
    return f"{node_id}{mark}{incarnation.partition('+')[0]}"


def start_of(key: PeerKey) -> int:
    """Return how often the disk of a process was started with; 0 for one without a disk.

    >>> start_of("n1#ab+3+cd"), start_of("n1#ab"), start_of("n1#ab+x")
    (3, 0, 0)
    """
    if "+" not in key:
        return 0
    number = key.rpartition("#")[2].split("+")[1:2]
    is_number = (
        bool(number) and number[0].isascii() and number[0].isdigit() and len(number[0]) <= MAX_START_DIGITS
    )
    return int(number[0]) if is_number else 0


def unproven_key(key: PeerKey, address: NodeAddress | None) -> str:
    """Name the process that says it is `key`, and at which address if it says it is a node; no peer key is equal to it.

    >>> unproven_key("n1#ab", NodeAddress("h", 9)), unproven_key("c1#ab", None)
    ('n1#ab?h:9', 'c1#ab?')
    """
    return f"{key}?{'' if address is None else address}"


def said_at(source: str) -> tuple[PeerKey, str | None]:
    """Return what a process says of itself: its key and address; None as the address of one that is known.

    >>> said_at("n1#ab?h:9"), said_at("c1#ab?"), said_at("n?1#ab")
    (('n1#ab', 'h:9'), ('c1#ab', ''), ('n?1#ab', None))
    """
    key, mark, address = source.rpartition("?")
    return (key, address) if mark and "#" in key else (source, None)


def replica_id(key: PeerKey, number: int) -> ReplicaId:
    """Name the replica that a process began anew so many times in its group.

    >>> replica_id("n1#ab", 0), replica_id("n1#ab", 2)
    ('n1#ab', 'n1#ab~2')
    """
    return f"{key}~{number}" if number else key


def process_of(id: ReplicaId) -> PeerKey:
    """Return the peer key of a replica's process.

    >>> process_of("n1#ab~2"), process_of("n~1#ab")
    ('n1#ab', 'n~1#ab')
    """
    if "~" not in id:
        return id  # the usual case, at a third of the price
    key, _, number = id.rpartition("~")
    return key if number.isdigit() and key else id


def replica_number(id: ReplicaId) -> int:
    """Return how often a replica's process began it anew.

    >>> replica_number("n1#ab~2"), replica_number("n1#ab")
    (2, 0)
    """
    if "~" not in id:
        return 0  # the usual case
    key = process_of(id)
    return 0 if key == id else int(id[len(key) + 1 :])


class NodeAddress(NamedTuple):
    """Where a node listens, as others dial it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def is_unspecified(host: str) -> bool:
    """Whether a host is the address of no machine: by it one listens on all, and who dials it reaches himself.

    >>> is_unspecified("::"), is_unspecified("10.0.0.1"), is_unspecified("localhost")
    (True, False, False)
    """
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host.

    >>> is_loopback("127.0.0.2"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("node-1")
    (True, True, False, False)
    """
    try:
        return ip_address(machine_of(host)).is_loopback
    except ValueError:
        return host == "localhost"


def machine_of(host: str) -> str:
    """Return what is equal for two socket addresses of one machine, as far as these tell.

    >>> machine_of("::ffff:10.0.0.1"), machine_of("::1"), machine_of("node-1")
    ('10.0.0.1', '127.0.0.1', 'node-1')
    """
    if host == "::1":
        return "127.0.0.1"
    return host.removeprefix("::ffff:") if "." in host else host


def check_text(what: str, value: object) -> None:
    """Raise `TypeError` or `ConfigError` unless `value` is a text with something in it that fits a handshake."""
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected a text, found {shown(value)}")
    if not value.strip():
        raise ConfigError(f"{what}: expected a text, found an empty one: {value!r}")
    if value.startswith("[") and value.endswith("]") and "host" in what:
        raise ConfigError(f"{what}: expected an address without brackets, {value[1:-1]!r}, found {value!r}")
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what}: expected a text that UTF-8 can encode, found {shown(value, 60)}"
        ) from error
    if size_bytes > MAX_TEXT_BYTES:
        raise ConfigError(
            f"{what}: expected at most {MAX_TEXT_BYTES} bytes, found {size_bytes}: {shown(value, 60)}"
        )


def check_port(what: str, value: object, least: int = 0) -> None:
    """Raise `TypeError` or `ConfigError` unless `value` is the number of a port."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what}: expected a port as an int, found {shown(value)}")
    if not least <= value <= MAX_PORT:
        raise ConfigError(f"{what}: expected {least} to {MAX_PORT}, found {value}")


def checked_addresses(what: str, value: object) -> list[NodeAddress]:
    """Return a list of (host, port) as addresses to dial; `TypeError` or `ConfigError` for anything else."""
    if not isinstance(value, (list, tuple)) or isinstance(value, NodeAddress):
        raise TypeError(f"{what}: {EXPECTED_PAIRS}, found {shown(value)}")
    return [_checked_address(f"{what}[{place}]", item) for place, item in enumerate(value)]


def _checked_address(what: str, item: object) -> NodeAddress:
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        raise TypeError(f"{what}: {EXPECTED_PAIRS}, found the item {shown(item)}")
    check_text(f"{what}, host", item[0])
    check_port(f"{what}, port", item[1], 1)
    return NodeAddress(item[0], item[1])


@dataclass(frozen=True, slots=True)
class ActorAddress:
    """Where an actor lives.

    Parameters
    ----------
    system
        The actor system's name.
    path
        The actor's path, with its leading slash.
    host, port
        The node; both None for an actor of this process.
    node_id
        The node's or client's identity, when known.
    incarnation, number
        Which life of the actor: the process, and the actor's number in it. With both None the address is of whoever is
        there now, as every uri of `to_uri` is.

    Examples
    --------
    >>> ActorAddress("shop", "/cart", "10.0.0.1", 25520).to_uri()
    'casty://shop@10.0.0.1:25520/cart'
    >>> ActorAddress("shop", "/cart", "10.0.0.1", 25520, "n1", "5fa1", 7).to_exact_uri()
    'casty://shop@10.0.0.1:25520;5fa1.7/cart'
    >>> ActorAddress.from_uri("casty://shop/cart").is_local
    True
    """

    system: str
    path: str
    host: str | None = None
    port: int | None = None
    node_id: str | None = None
    incarnation: str | None = None
    number: int | None = None

    def __init__(
        self,
        system: str,
        path: str,
        host: str | None = None,
        port: int | None = None,
        node_id: str | None = None,
        incarnation: str | None = None,
        number: int | None = None,
    ) -> None:
        # As the one of a frozen dataclass, in half the time: several are made for each question.
        _set_system(self, system)
        _set_path(self, path)
        _set_host(self, host)
        _set_port(self, port)
        _set_node_id(self, node_id)
        _set_incarnation(self, incarnation)
        _set_number(self, number)

    @property
    def is_local(self) -> bool:
        """Whether the address names no node."""
        return self.host is None

    def to_uri(self) -> str:
        """Return ``casty://system@host:port/path``, or ``casty://system/path`` when local."""
        if self.host is None:
            return f"casty://{self.system}{self.path}"
        return f"casty://{self.system}@{self._place()}{self.path}"

    def to_exact_uri(self) -> str:
        """Return a uri of exactly this life of the actor, ``casty://system@host:port;incarnation.number/path``.

        Where no life is known, or no node, it is `to_uri`.
        """
        if self.host is None or self.incarnation is None or self.number is None:
            return self.to_uri()
        return f"casty://{self.system}@{self._place()};{self.incarnation}.{self.number}{self.path}"

    def _place(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @staticmethod
    def from_uri(uri: str) -> ActorAddress:
        """Read what `to_uri` or `to_exact_uri` wrote; raises `ValueError` naming ``casty://`` for anything else."""
        expected = f"expected casty://system@host:port/path or casty://system/path, found {shown(uri, 200)}"
        # Not urlsplit: it ends the path at ? and #, drops tabs and line ends, and lowers the host.
        authority, slash, path = _without_scheme(uri).partition("/")
        system, at, place = authority.rpartition("@")
        if not slash or not (system if at else place):
            raise ValueError(expected)
        if not at:
            return ActorAddress(place, f"/{path}")
        place, is_exact, life = place.partition(";")
        incarnation, number = _life(life) if is_exact else (None, None)
        host, colon, port = place.rpartition(":")
        if is_exact and number is None:
            raise ValueError(expected)
        if host[:1] == "[" and host[-1:] == "]":
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(expected)
        if not host or not colon or not _is_port(port):
            raise ValueError(expected)
        return ActorAddress(system, f"/{path}", host, int(port), None, incarnation, number)


_set_system, _set_path, _set_host, _set_port, _set_node_id, _set_incarnation, _set_number = (
    vars(ActorAddress)[field.name].__set__ for field in fields(ActorAddress)
)


def _without_scheme(uri: object) -> str:
    """Return what follows ``casty://``; an empty text for anything that does not begin so."""
    if isinstance(uri, str) and uri[: len(SCHEME)].lower() == SCHEME:
        return uri[len(SCHEME) :]
    return ""


def _life(text: str) -> tuple[str | None, int | None]:
    incarnation, _, number = text.rpartition(".")
    is_life = bool(incarnation) and number.isascii() and number.isdigit() and len(number) <= 18
    return (incarnation, int(number)) if is_life else (None, None)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535
