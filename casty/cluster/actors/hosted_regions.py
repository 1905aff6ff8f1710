"""Which behaviours the nodes run their regions with: one name of a region is one behaviour.

A node says what it hosts over each link that it dials, and what it hosts besides when that begins. Behaviours cannot be
compared; the names of their factories can. Where they differ entities would behave by where they live: each node that
hosts one of them says so, once, as an error in its log. It is no refusal: the same behaviour may be made by two
programs, or have got another name in the version that is being rolled out. Two closures of one function have one name.

A program that is run as a script calls its module ``__main__``, whatever others import it as: where one of two modules
is that one, only what is behind them is compared.

``REGIONS`` body: ``[[region, module:name of the factory], ...]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from casty.checks import shown
from casty.cluster.node.links import Links
from casty.errors import RemoteProtocolError
from casty.limits import MAX_REGION_NAME_BYTES, MAX_REGIONS
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Hosted", "are_alike", "code_of", "name_of"]

ROWS_A_FRAME = 20
"""So many of the longest names fit into the shortest frame."""

MAX_NAME = 200
"""Characters of a factory's name and module that are compared."""

SCRIPT = "__main__"


def code_of(factory: Callable[..., object]) -> object:
    """Return what two factories of one behaviour have in common, in one process."""
    if isinstance(factory, partial):
        return code_of(factory.func)
    function = getattr(factory, "__func__", factory)
    return getattr(function, "__code__", type(factory))


def name_of(factory: Callable[..., object]) -> str:
    """Return the name of a factory with its module; of either, only the end where it is very long.

    Examples
    --------
    >>> name_of(name_of), name_of(partial(partial))
    ('casty.cluster.actors.hosted_regions:name_of', 'functools:partial')
    """
    if isinstance(factory, partial):
        return name_of(factory.func)
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    module, half = str(getattr(named, "__module__", None) or ""), MAX_NAME // 2
    return f"{module[1 - half :]}:{named.__qualname__[-half:]}"


def are_alike(name: str, other: str) -> bool:
    """Whether two factories may be the same, by their names.

    Examples
    --------
    >>> are_alike("shop:cart", "__main__:cart"), are_alike("shop:cart", "bank:cart"), are_alike("a:b", "a:c")
    (True, False, False)
    """
    module, _, rest = name.rpartition(":")
    other_module, _, other_rest = other.rpartition(":")
    return rest == other_rest and (module == other_module or SCRIPT in (module, other_module))


class Hosted:
    """What this node and those that it is linked with host.

    Parameters
    ----------
    links
        The links to other nodes.
    own
        Returns the factories' names of the regions that are hosted here.
    complain
        Logs an error.

    Bounds: `_theirs` has a row per link of a node that hosts regions, with at most `MAX_REGIONS` of them; it goes with
    the link.
    """

    def __init__(
        self, links: Links, own: Callable[[], Mapping[str, str]], complain: Callable[[str], object]
    ) -> None:
        self._links = links
        self._own = own
        self._complain = complain
        self._theirs: dict[Connection, dict[str, str]] = {}

    def changed(self, connection: Connection, is_up: bool) -> None:
        """A connection of any role came up or ended."""
        if not is_up:
            self._theirs.pop(connection, None)
        elif connection.is_dialled:
            rows = [[region, name] for region, name in self._own().items()]
            for first in range(0, len(rows), ROWS_A_FRAME):
                connection.send(frames.REGIONS, pack(rows[first : first + ROWS_A_FRAME]))

    def began(self, region: str) -> None:
        """This node hosts a region from now on."""
        body = pack([[region, self._own()[region]]])
        self._links.each_node(lambda link: link.send(frames.REGIONS, body))
        for link, theirs in self._theirs.items():
            self._compare(link, region, theirs.get(region))

    def on_regions(self, connection: Connection, body: bytes) -> None:
        """Take what another node hosts."""
        rows: Any = unpack(body)
        if not isinstance(rows, list):
            raise RemoteProtocolError("regions: expected a list of rows")
        for row in rows:
            if (
                not isinstance(row, list)
                or [type(field) for field in row] != [str, str]
                or len(row[0]) > MAX_REGION_NAME_BYTES
                or len(row[1]) > MAX_NAME
            ):
                raise RemoteProtocolError("regions: expected [region, name of the factory] rows")
            theirs = self._theirs.setdefault(connection, {})
            if row[0] in theirs or len(theirs) < MAX_REGIONS:
                theirs[row[0]] = row[1]
            self._compare(connection, *row)

    def _compare(self, link: Connection, region: str, name: str | None) -> None:
        own = self._own().get(region)
        if own is not None and name is not None and not are_alike(own, name):
            self._complain(
                f"region {shown(region, 100)}: expected one behaviour on all nodes, found {own} here and "
                f"{shown(name, MAX_NAME)} on {link.remote.node_id!r:.100}: an entity behaves by where it lives; give "
                "the region of one of them another name, or both factories the same one"
            )
