"""Makes the node of a process: what has to be awaited before there is one."""

from __future__ import annotations

from collections.abc import Callable

from casty.cluster.node.address_check import with_own_address
from casty.cluster.node.disk import incarnation_of, open_book
from casty.cluster.node.entrance import Entrance
from casty.cluster.node.founding_document import WallGeneration
from casty.cluster.node.node import Node
from casty.cluster.node.options import NodeOptions
from casty.discovery import Discovery
from casty.ports import Runtime
from casty.transport.link_watch import RestingLinks
from casty.transport.output_batch import OutputBatch

__all__ = ["make_node"]


async def make_node(
    options: NodeOptions,
    runtime: Runtime,
    *,
    on_asked_to_leave: Callable[[], object],
    on_ended: Callable[[], object],
) -> Node:
    """Return the complete node of a process. It listens, and refuses everybody until it is started.

    Parameters
    ----------
    options
        What the user asked for.
    runtime
        The ports.
    on_asked_to_leave
        Called whenever the cluster has the process leaving.
    on_ended
        Called once when the process serves nobody any more, and is to close.

    Raises
    ------
    ConfigError
        This machine has no address that others see, or then `required_quorum` is less than a majority.
    DiskError
        The data directory is in use, damaged, or of another cluster.
    OSError
        The address cannot be bound.
    """
    token = runtime.entropy.token("incarnation", 8).hex()
    wall_generation = WallGeneration(runtime.clock)
    discovery = Discovery(runtime, options.contacts)
    options = await with_own_address(options, runtime, discovery)
    path = options.data_dir
    output = OutputBatch(runtime)
    output.resting = RestingLinks()
    book = (
        None
        if path is None
        else await open_book(path, options.name, token, options.settings, output, runtime)
    )
    try:
        incarnation = token if book is None else incarnation_of(book.manifest, token)
        entrance = Entrance(options, runtime, incarnation, output)
        await entrance.listen()
        return Node(
            options, runtime, entrance=entrance, discovery=discovery, wall_generation=wall_generation, book=book,
            on_asked_to_leave=on_asked_to_leave, on_ended=on_ended,
        )  # fmt: skip
    except BaseException:
        if book is not None:
            book.close()
        raise
