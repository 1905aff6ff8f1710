"""Pages of a slot's entities: of their names, and of the keys of a map with their values. Pure.

The order is that of the names' bytes and does not depend on when an entity was made: what is there all the time is on
one of the pages, whatever is removed and made again meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from casty.entity_order import EntityOrder

__all__ = ["PAGE", "entries_page", "names_page"]

PAGE = 1_024
"""Entities on one page: less than a millisecond of work where it is made, and where it arrives."""


def names_page(order: EntityOrder, prefix: bytes, after: bytes, limit_bytes: int) -> tuple[list[bytes], bool]:
    """Return one page of the names that begin with `prefix`, and whether there are more.

    Parameters
    ----------
    after
        The last name of the page before, whether it still exists or not.
    limit_bytes
        About how long a page may be, but for one of a single name. It has no more than `PAGE` of them.
    """
    return order.page(prefix, after, PAGE, limit_bytes)


def entries_page(
    order: EntityOrder, value: Callable[[bytes], bytes | None], prefix: bytes, after: bytes, limit_bytes: int
) -> tuple[list[list[bytes]], bool]:
    """Return one page of ``[name, value]``, and whether there are more; as `names_page`, values counted too.

    Parameters
    ----------
    value
        Returns the value that is to be seen under a name; None where nobody may see any yet.
    """
    page: list[list[bytes]] = []
    size_bytes = 0
    for name in _names(order, prefix, after):
        data = value(name)
        if data is None:
            continue
        size_bytes += len(name) + len(data)
        if len(page) >= PAGE or (page and size_bytes > limit_bytes):
            return page, True
        page.append([name, data])
    return page, False


def _names(order: EntityOrder, prefix: bytes, after: bytes) -> Iterator[bytes]:
    for name in order.since(max(prefix, after)):
        if not name.startswith(prefix):
            return
        if name != after:
            yield name
