"""Who could hear of whom, and when: all links of nodes and clients, as their ends told of them in the trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

__all__ = ["Reach"]


class Reach:
    """The links of one run.

    Bounds: a row per link that came up or ended; a run has some thousand.
    """

    def __init__(self) -> None:
        self._past: dict[tuple[str, str], list[tuple[int, int]]] = {}
        """By who says so and whom it is linked with: from when on there were how many links."""

    # -- what happens

    def changed(self, node: str, peer: str, change: int, now_ns: int) -> None:
        """A link of a process came up, or ended."""
        past = self._past.setdefault((node, peer), [(0, 0)])
        past.append((now_ns, max(0, past[-1][1] + change)))

    def gone(self, node: str, now_ns: int) -> None:
        """A process has ended, and its links with it."""
        for (source, _), past in self._past.items():
            if source == node and past[-1][1]:
                past.append((now_ns, 0))

    # -- what may have been believed

    def count(self, node: str, peer: str) -> int:
        """Return how many links with another process a process has now, by its own word."""
        past = self._past.get((node, peer))
        return past[-1][1] if past else 0

    def came_up_ns(self, node: str, peer: str) -> int:
        """Return when the newest link of a process to another one came up; 0 for never."""
        return max(self._rises(node, peer), default=0)

    def was_out(
        self, client_id: str, observer: str, nodes: Sequence[str], grace_ns: int, ends_in: tuple[int, int]
    ) -> bool:
        """Whether nobody may have heard of a client for a whole grace that ended in a time, as far as one node knew.

        Clearly in reach is who has a link to the node itself at some time of the grace, or had one all the time to a
        node that had both its links to the observer all the time. A grace that was interrupted is none: of all that
        ended in the time, it is enough to look at those that a new link ended, and at the last one.
        """
        others = [name for name in nodes if name != observer]
        pairs = [(name, client_id) for name in nodes]
        pairs += [pair for name in others for pair in ((observer, name), (name, observer))]
        first_ns, last_ns = ends_in
        ends_ns = [*(at_ns for pair in pairs for at_ns in self._rises(*pair)), last_ns]
        return any(
            first_ns <= end_ns <= last_ns
            and not self._is_in(client_id, observer, others, end_ns - grace_ns, end_ns)
            for end_ns in ends_ns
        )

    def _rises(self, node: str, peer: str) -> Iterator[int]:
        """Yield when links of a process to another one came up."""
        past = self._past.get((node, peer), [])
        for (_, before), (at_ns, count) in pairwise(past):
            if count > before:
                yield at_ns

    def _is_in(
        self, client_id: str, observer: str, others: Sequence[str], since_ns: int, until_ns: int
    ) -> bool:
        if self._most(observer, client_id, since_ns, until_ns) > 0:
            return True
        return any(
            self._least(name, client_id, since_ns, until_ns) >= 1
            and self._least(observer, name, since_ns, until_ns) >= 2
            and self._least(name, observer, since_ns, until_ns) >= 2
            for name in others
        )

    def _most(self, node: str, peer: str, since_ns: int, until_ns: int) -> int:
        return max(self._counts(node, peer, since_ns, until_ns))

    def _least(self, node: str, peer: str, since_ns: int, until_ns: int) -> int:
        return min(self._counts(node, peer, since_ns, until_ns))

    def _counts(self, node: str, peer: str, since_ns: int, until_ns: int) -> list[int]:
        """Return how many links there were in a time, its end not included."""
        found = [0]
        for at_ns, count in self._past.get((node, peer), []):
            if at_ns <= since_ns:
                found = [count]
            elif at_ns < until_ns:
                found.append(count)
        return found
