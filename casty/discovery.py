"""Where to look for a cluster: fixed addresses, names that have many, and what a function of the user's says.

A host that begins with ``dns://`` is a name: each of its addresses is dialled, on the port beside it. Names and
functions are asked again and again, with jitter, so that processes that were started together do not ask together; an
answer takes the place of the one before, and while there is none the last one counts. What was wrong is kept by source,
for whoever says why there is no cluster.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from casty.address import NodeAddress, checked_addresses
from casty.checks import shown
from casty.errors import CastyError
from casty.ports import Runtime, Timer

__all__ = ["AUTO", "Contacts", "Discovery", "Seeds", "checked_contacts"]

Pairs: TypeAlias = Sequence[tuple[str, int]]
Seeds: TypeAlias = Pairs | Callable[[], Pairs | Awaitable[Pairs]]
"""Addresses, or a function that says them each time it is called, which may be a coroutine function."""

AUTO = "auto"
"""As a host: the address by which this machine reaches others."""

SCHEME = "dns://"
MAX_FOUND = 1024
"""Addresses that are dialled of all that names and functions say."""
ANSWER_S = 5.0
"""How long one look may take; a resolver that does not answer takes as long for each of its servers."""
LEAST_NS = 500_000_000
"""Between the beginnings of two looks, whatever happens."""
SOON_NS = 1_000_000_000
OFTEN_NS = 5_000_000_000
SELDOM_NS = 30_000_000_000
"""Between two looks: after one that failed, while something is looked for, and while nothing is. Half is jitter."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Where a user says that a cluster is.

    Parameters
    ----------
    fixed
        Addresses to dial.
    names
        Names with a port: all their addresses are dialled.
    source
        Says addresses, and names, whenever it is asked; None for nothing.
    """

    fixed: tuple[NodeAddress, ...] = ()
    names: tuple[NodeAddress, ...] = ()
    source: Callable[[], object] | None = None

    @property
    def changes(self) -> bool:
        """Whether another look may find something else."""
        return bool(self.names) or self.source is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nowhere to look."""
        return not self.fixed and not self.changes


def checked_contacts(what: str, given: object) -> Contacts:
    """Return where to look; raises `TypeError` or `ConfigError` for what cannot be.

    Examples
    --------
    >>> checked_contacts("seeds", [("10.0.0.1", 1), ("dns://casty", 2)]).fixed
    (NodeAddress(host='10.0.0.1', port=1),)
    """
    if callable(given):
        return Contacts(source=given)
    addresses = checked_addresses(what, given)
    return Contacts(
        tuple(one for one in addresses if not one.host.startswith(SCHEME)),
        tuple(one for one in addresses if one.host.startswith(SCHEME)),
    )


class Discovery:
    """Keeps the addresses up to date.

    Parameters
    ----------
    runtime
        Resolves names, and tells time.
    contacts
        Where to look.

    Attributes
    ----------
    addresses
        The fixed ones, then those that were found, at most `MAX_FOUND`.
    troubles
        Why a source said nothing the last time, by source: at most one each.
    """

    def __init__(
        self,
        runtime: Runtime,
        contacts: Contacts,
    ) -> None:
        self._runtime = runtime
        self._contacts = contacts
        self._on_found: Callable[[], object] = _nothing
        self._is_needed: Callable[[], bool] = _no
        self._said: dict[str, tuple[NodeAddress, ...]] = {}
        """The last answer of each source."""
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_begun = False
        self._looked_ns: int | None = None
        self.addresses: tuple[NodeAddress, ...] = contacts.fixed
        self.troubles: dict[str, str] = {}

    def troubles_of(self) -> list[str]:
        """Return why sources said nothing the last time, in words."""
        return [f"{source}: {why}" for source, why in self.troubles.items()]

    def begin(self, on_found: Callable[[], object], is_needed: Callable[[], bool]) -> None:
        """Look again and again from now on.

        Parameters
        ----------
        on_found
            Told whenever the addresses are others than before.
        is_needed
            Whether somebody is looked for at the moment: then it looks more often.
        """
        self._is_begun = True
        self._on_found, self._is_needed = on_found, is_needed
        if self._contacts.changes and not self.addresses:
            self.hurry()
        else:
            self._later()

    def hurry(self) -> None:
        """Look now, unless that is being done, or was a moment ago: all that was known is lost."""
        if not self._is_begun or self._is_closed or not self._contacts.changes or self._task is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        clock = self._runtime.clock
        if self._looked_ns is not None and clock.now() - self._looked_ns < LEAST_NS:
            self._timer = clock.call_at(self._looked_ns + LEAST_NS, self.hurry)
            return
        self._task = asyncio.get_running_loop().create_task(self._again(), name="discovery")

    def close(self) -> None:
        """Look no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _later(self) -> None:
        if self._is_closed or not self._contacts.changes:
            return
        pause_ns = OFTEN_NS if self._is_needed() else SELDOM_NS
        if self.troubles:
            pause_ns = min(pause_ns, SOON_NS)
        clock, half_ns = self._runtime.clock, pause_ns // 2
        pause_ns = half_ns + self._runtime.entropy.below("discovery", half_ns)
        self._timer = clock.call_at(clock.now() + pause_ns, self.hurry)

    async def _again(self) -> None:
        try:
            before = self.addresses
            await self.look()
            if self.addresses != before and not self._is_closed:
                self._on_found()
        finally:
            self._task = None
        self._later()

    async def look(self) -> None:
        """Ask every source once; what none of them says any more is not there any more."""
        self._looked_ns = self._runtime.clock.now()
        names = dict.fromkeys(self._contacts.names)
        if self._contacts.source is not None:
            names.update(dict.fromkeys(await self._ask("the function", self._call)))
        found = dict.fromkeys(self._contacts.fixed)
        for address in names:
            if address.host.startswith(SCHEME):
                found.update(dict.fromkeys(await self._ask(str(address), partial(self._resolve, address))))
            else:
                found[address] = None
        known = dict.fromkeys(["the function", *map(str, names)])
        self._said = {source: said for source, said in self._said.items() if source in known}
        self.troubles = {source: why for source, why in self.troubles.items() if source in known}
        most = len(self._contacts.fixed) + MAX_FOUND
        self.addresses = tuple(found)[:most]

    async def _ask(
        self, source: str, question: Callable[[], Awaitable[Sequence[NodeAddress]]]
    ) -> tuple[NodeAddress, ...]:
        """Return what a source says, or said last."""
        try:
            async with asyncio.timeout(ANSWER_S):
                said = tuple(await question())
        except TimeoutError:
            self.troubles[source] = f"no answer within {ANSWER_S} s"
        except (OSError, CastyError) as error:
            self.troubles[source] = str(error) or type(error).__name__
        except Exception as error:  # it is the user's function, and may know better the next time
            self.troubles[source] = f"raised {shown(error, 200)}"
        else:
            self._said[source] = said
            self.troubles.pop(source, None)
            if not said:
                self.troubles[source] = "it has no addresses"
        return self._said.get(source, ())

    async def _call(self) -> list[NodeAddress]:
        assert self._contacts.source is not None, "asked only where there is one"
        said = self._contacts.source()
        if inspect.isawaitable(said):
            said = await said
        return checked_addresses("addresses", said)

    async def _resolve(self, address: NodeAddress) -> list[NodeAddress]:
        hosts = await self._runtime.resolve(address.host.removeprefix(SCHEME))
        return [NodeAddress(host, address.port) for host in hosts]


def _nothing() -> None:
    """Nobody wants to know yet."""


def _no() -> bool:
    return False
