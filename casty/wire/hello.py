"""The handshake as values: the dialler says `Hello`, the acceptor answers `Welcome` or `Refusal`.

Where both share a secret, the acceptor answers `Challenge` first; see `casty.transport.proving`.

The first items of a hello never move, so that two versions which share nothing else can still name what
differs. What a newer version appends is ignored by an older one.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from casty.address import NodeAddress
from casty.checks import shown
from casty.config import BOUNDS, Settings
from casty.errors import RemoteProtocolError
from casty.limits import MAX_TEXT_BYTES
from casty.wire.pack import Plain, pack, unpack

__all__ = [
    "LATE", "MAGIC", "NONCE_BYTES", "NOT_NOW", "PASSING", "ROLES", "VERSIONS", "Challenge", "Hello", "Refusal",
    "Welcome", "judge",
]  # fmt: skip

MAGIC = "casty"
VERSIONS = (1, 1)
"""The lowest and the highest wire version that this build speaks."""

ROLES = ("node", "client", "status")
NOT_NOW = "node"
"""The kind of a refusal that rests on the state of the node that was asked."""

LATE = "late"
"""The kind of the answer to a dialler that said nothing in time, or was not heard in time."""

PASSING = (NOT_NOW, LATE)
"""Kinds of refusals that say nothing about the next attempt."""

NONCE_BYTES = 16
"""Random bytes by which either end of a link makes sure that a proof is for this link."""

MAX_FRAME_BYTES = int(BOUNDS["max_frame_bytes"].high)


class Refusal(NamedTuple):
    """Why an acceptor does not take a link; `text` names both sides' values."""

    kind: str
    text: str

    def encode(self) -> bytes:
        """Return the body of a REFUSED frame."""
        return pack(list(self))

    @staticmethod
    def decode(body: bytes) -> Refusal:
        """Read a REFUSED frame; raises `RemoteProtocolError`."""
        kind, text = _items(unpack(body), "refusal", (str, str))
        return Refusal(str(kind), str(text))


class Hello(NamedTuple):
    """Who dials or answers.

    Parameters
    ----------
    role
        ``"node"``, ``"client"`` or ``"status"`` (read-only, of no particular cluster).
    host, port
        Where a node is dialled by others; for a client a label.
    max_frame_bytes
        The longest frame this end accepts; the shorter one of both ends counts.
    versions
        The lowest and the highest wire version this end speaks.
    generation
        The highest generation of the cluster's name that this end knows of; 0 for none. The next one is higher.
    challenge
        Random bytes of a dialler that has a shared secret and asks for a proof of it; empty for one that has none.
    cluster_id
        Which cluster of that name a node is of; empty before it is of any.
    """

    cluster: str
    role: str
    node_id: str
    incarnation: str
    host: str = ""
    port: int = 0
    max_frame_bytes: int = 4 * 1024 * 1024
    versions: tuple[int, int] = VERSIONS
    magic: str = MAGIC
    generation: int = 0
    challenge: bytes = b""
    cluster_id: str = ""

    @staticmethod
    def of_node(
        *,
        cluster: str,
        node_id: str,
        incarnation: str,
        address: NodeAddress,
        settings: Settings,
        generation: int = 0,
        cluster_id: str = "",
    ) -> Hello:
        """Return a node's introduction."""
        hello = Hello(cluster, "node", node_id, incarnation, *address, settings.max_frame_bytes)
        return hello._replace(generation=generation, cluster_id=cluster_id)

    @staticmethod
    def of_client(
        *, cluster: str, client_id: str, incarnation: str, address: NodeAddress, generation: int = 0
    ) -> Hello:
        """Return a client's introduction; `address` is a label. It takes whatever its cluster sends."""
        hello = Hello(cluster, "client", client_id, incarnation, *address, MAX_FRAME_BYTES)
        return hello._replace(generation=generation)

    @staticmethod
    def of_status(*, client_id: str, incarnation: str) -> Hello:
        """Return the introduction of one who only asks for the status and knows no cluster name."""
        return Hello("", "status", client_id, incarnation, "", 0, MAX_FRAME_BYTES)

    @property
    def address(self) -> NodeAddress:
        """Where it is dialled."""
        return NodeAddress(self.host, self.port)

    def plain(self) -> list[Plain]:
        """Return the list that travels."""
        plain: list[Plain] = [
            self.magic, *self.versions, self.cluster, self.role, self.node_id, self.incarnation,
            self.host, self.port, self.max_frame_bytes, self.generation,
        ]  # fmt: skip
        if self.cluster_id:
            return [*plain, self.challenge, self.cluster_id]
        return [*plain, self.challenge] if self.challenge else plain

    def encode(self) -> bytes:
        """Return the body of a HELLO frame."""
        return pack(self.plain())

    @staticmethod
    def decode(body: bytes) -> Hello:
        """Read a HELLO frame; raises `RemoteProtocolError`."""
        return Hello.from_plain(unpack(body))

    @staticmethod
    def from_plain(plain: Plain) -> Hello:
        """Read what `plain` wrote, of this or another version; raises `RemoteProtocolError`."""
        types = (str, int, int, str, str, str, str, str, int, int, int)
        magic, low, high, cluster, role, node_id, incarnation, host, port, frame_bytes, generation = _items(
            plain, "hello", types
        )
        return Hello(
            str(cluster), str(role), str(node_id), str(incarnation), str(host), _number(port),
            _number(frame_bytes), (_number(low), _number(high)), str(magic), _number(generation),
            _appended(plain, len(types), NONCE_BYTES), _appended_text(plain, len(types) + 1),
        )  # fmt: skip


class Welcome(NamedTuple):
    """An acceptor's answer: who it is, the version both speak, and what the cluster tells newcomers.

    `proof` shows that it shares the dialler's secret; empty where there is none.
    """

    version: int
    hello: Hello
    extra: dict[str, Plain]
    proof: bytes = b""

    def encode(self) -> bytes:
        """Return the body of a WELCOME frame."""
        plain = [self.version, self.hello.plain(), self.extra]
        return pack([*plain, self.proof] if self.proof else plain)

    @staticmethod
    def decode(body: bytes) -> Welcome:
        """Read a WELCOME frame; raises `RemoteProtocolError`."""
        plain = unpack(body)
        version, hello, extra = _items(plain, "welcome", (int, list, dict))
        if not isinstance(extra, dict):
            raise RemoteProtocolError("expected a dictionary in the welcome")
        return Welcome(
            _number(version),
            Hello.from_plain(hello),
            extra,
            _appended(plain, 3, hashlib.sha256().digest_size),
        )


class Challenge(NamedTuple):
    """An acceptor's question to a dialler that has a shared secret: random bytes, and who asks."""

    nonce: bytes
    hello: Hello

    def encode(self) -> bytes:
        """Return the body of a CHALLENGE frame."""
        return pack([self.nonce, self.hello.plain()])

    @staticmethod
    def decode(body: bytes) -> Challenge:
        """Read a CHALLENGE frame; raises `RemoteProtocolError`."""
        nonce, hello = _items(unpack(body), "challenge", (bytes, list))
        if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
            raise RemoteProtocolError(f"expected {NONCE_BYTES} random bytes in the challenge")
        return Challenge(nonce, Hello.from_plain(hello))


def judge(theirs: Hello, mine: Hello) -> Refusal | None:
    """Decide whether two ends may talk; the refusal names both sides' values.

    Examples
    --------
    >>> mine = Hello("shop", "node", "a", "01")
    >>> judge(Hello("store", "client", "c", "02"), mine).kind
    'cluster'
    >>> judge(Hello("shop", "client", "c", "02"), mine) is None
    True
    """
    if theirs.magic != MAGIC:
        return Refusal("magic", f"expected {MAGIC!r} at the start of the hello, found {theirs.magic[:32]!r}")
    if agreed_version(theirs, mine) is None:
        return Refusal(
            "version",
            f"no common wire version: {mine.role} {mine.node_id} speaks {_range(mine)}, "
            f"{theirs.role} {theirs.node_id} speaks {_range(theirs)}; upgrade the older one",
        )
    if theirs.role not in ROLES:
        return Refusal("role", f"expected one of the roles {', '.join(ROLES)}, found {theirs.role!r}")
    if not theirs.node_id or not theirs.incarnation:
        return Refusal("identity", "expected an id and an incarnation in the hello, found an empty one")
    if theirs.role != "status" and mine.role != "status" and theirs.cluster != mine.cluster:
        return Refusal(
            "cluster",
            f"wrong cluster name: this end ({mine.role} {mine.node_id}) belongs to {mine.cluster!r}, "
            f"{theirs.role} {theirs.node_id} to {theirs.cluster!r}",
        )
    if mine.role == "node" and theirs.max_frame_bytes < mine.max_frame_bytes:
        # It could not be told what it asks for; and between nodes, what one commits would not reach the other.
        return Refusal(
            "limits",
            f"expected max_frame_bytes of at least {mine.max_frame_bytes} as on node {mine.node_id}, found "
            f"{theirs.max_frame_bytes} on {theirs.role} {theirs.node_id}; set it alike on all nodes",
        )
    if (theirs.node_id, theirs.incarnation) == (mine.node_id, mine.incarnation):
        return Refusal("self", f"{mine.role} {mine.node_id} dialled itself at {mine.address}")
    return None


def agreed_version(theirs: Hello, mine: Hello) -> int | None:
    """Return the highest wire version that both ends speak."""
    low, high = (max(theirs.versions[0], mine.versions[0]), min(theirs.versions[1], mine.versions[1]))
    return high if low <= high else None


def _range(hello: Hello) -> str:
    low, high = hello.versions
    return f"version {low}" if low == high else f"versions {low} to {high}"


def _number(value: Plain) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise RemoteProtocolError(f"expected a number in the handshake, found {shown(value, 80)}")
    return value


def _appended(plain: Plain, place: int, size: int) -> bytes:
    """Return bytes that stand behind what every version has; empty where there is something else, or nothing."""
    value = plain[place] if isinstance(plain, list) and len(plain) > place else None
    return value if isinstance(value, bytes) and len(value) == size else b""


def _appended_text(plain: Plain, place: int) -> str:
    """Return a text that stands behind what every version has; empty where there is something else, or nothing."""
    value = plain[place] if isinstance(plain, list) and len(plain) > place else None
    return value if isinstance(value, str) and len(value) <= MAX_TEXT_BYTES else ""


def _items(plain: Plain, name: str, types: tuple[type, ...]) -> list[Plain]:
    """Return as many leading items as there are types; what follows is of a newer version."""
    if not isinstance(plain, list) or len(plain) < len(types):
        raise RemoteProtocolError(f"expected a {name} of {len(types)} items, found {shown(plain, 80)}")
    for index, (item, expected) in enumerate(zip(plain, types, strict=False)):
        if type(item) is not expected:
            raise RemoteProtocolError(
                f"expected {expected.__name__} as item {index} of the {name}, found {shown(item, 80)}"
            )
        if isinstance(item, str) and len(item) > MAX_TEXT_BYTES and name == "hello":
            raise RemoteProtocolError(
                f"expected at most {MAX_TEXT_BYTES} characters as item {index} of the {name}"
            )
    return plain[: len(types)]
