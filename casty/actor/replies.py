"""Replies to `ask`: a path that lives from the question to the reply, the deadline or the cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from casty.actor.deadlines import Deadlines
from casty.actor.holding import HELD
from casty.actor.ref import ActorRef, RemoteActorRef, RemoteSender, system_of
from casty.address import ActorAddress
from casty.checks import LONGEST_S, check_timeout, shown
from casty.errors import AskFailed, CastyError, NotStarted
from casty.ports import Runtime

__all__ = ["Replies", "Reply"]

M = TypeVar("M")
R = TypeVar("R")


class Asker(Protocol):
    """The system whose questions are open; see `LocalSystem`."""

    name: str
    runtime: Runtime
    remote: RemoteSender | None
    is_stopping: bool
    has_stopped: bool

    endpoints: dict[str, Callable[[object], None]]

    def own_ref(self, path: str, number: int | None = None) -> ActorRef[Any]:
        """Make a reference to something of this process."""
        ...


class Reply:
    """One open question."""

    __slots__ = ("asker", "due_ns", "future", "message", "path", "phase", "ref", "target", "timeout_s")

    ref: ActorRef[Any]
    """Where the reply goes; set as soon as the path is taken."""
    timeout_s: float
    due_ns: int
    """How long it waits, and until when; set where it does not wait for ever."""

    def __init__(self, path: str, target: ActorRef[Any], future: asyncio.Future[Any], asker: Asker) -> None:
        self.path = path
        self.asker = asker
        self.target = target
        self.future = future
        self.message: object = None
        """The question itself, once it was made: whoever loses it, or fails at it, knows it by its identity."""
        self.phase: Sequence[str] = ("sent, no reply",)
        """How far it came: the parts of a text that is put together where somebody is told."""

    def receive(self, message: object) -> None:
        """Take the reply; a second one, in the same turn, is ignored."""
        if not self.future.done():
            self.future.set_result(message)

    def close(self) -> None:
        """Nobody waits any more: an error that came before the question was out is nobody's loss."""
        if not self.future.cancel() and not self.future.cancelled():
            self.future.exception()

    def expire(self) -> None:
        """The deadline passed."""
        if not self.future.done():
            text = f"ask {shown(self.target)}: no reply within {self.timeout_s} s ({''.join(self.phase)})"
            self.future.set_exception(TimeoutError(text))


class Replies:
    """Open questions of one system.

    The paths carry a random part of this process: a reply to a predecessor at the same address finds nobody.
    """

    def __init__(self, core: Asker) -> None:
        self._core = core
        self._prefix = f"$ask/{core.runtime.entropy.token('ask', 6).hex()}"
        self._count = 0
        self._deadlines = Deadlines(core.runtime.clock)
        self.open: dict[str, Reply] = {}
        """By path; a row goes with the end of its question."""
        self._questions: dict[int, Reply] = {}
        """By the identity of the question, which the row keeps alive; it goes with the end of the question.

        Also those of other systems of this loop to actors here: a client and the nodes in a test post to each other's
        actors without a link, and this system alone sees what becomes of the question.
        """
        self.asked: dict[int, tuple[object, ActorAddress]] = {}
        """The same for questions of other processes that an actor here has not handled, and where they wait."""
        self.asking: ActorAddress | None = None
        """The reply address of the question that is being sent right now, for those who may refuse it."""
        self.sending: Reply | None = None
        """That question, where it is one of this process."""

    async def ask(self, ref: ActorRef[M], factory: Callable[[ActorRef[R]], M], timeout_s: float | None) -> R:
        """Send the question and wait for its reply; raises `TimeoutError` after `timeout_s` seconds.

        None waits for ever; what is no number of seconds is a `TypeError` or `ValueError`, and nothing is sent.
        """
        if type(timeout_s) is not float or not 0 <= timeout_s <= LONGEST_S:
            check_timeout(timeout_s)
        if not callable(getattr(ref, "tell", None)):
            raise TypeError(f"ref: expected the ref of an actor, found {shown(ref)}")
        if self._core.has_stopped:
            raise NotStarted(
                f"ask {shown(ref)}: expected a running system, found that {self._core.name!r} shut down"
            )
        reply, questions = self._open_reply(ref), self._questions_at(ref)
        try:
            if timeout_s is not None:
                reply.timeout_s = timeout_s
                self._deadlines.add(reply)
            reply.message = message = factory(reply.ref)
            questions[id(message)] = reply
            self._send(ref, message, reply)
            result: R = await reply.future
            return result
        finally:
            if timeout_s is not None:
                self._deadlines.remove(reply)
            self._core.endpoints.pop(reply.path, None)
            del self.open[reply.path]
            if questions.get(id(reply.message)) is reply:
                del questions[id(reply.message)]
            reply.close()

    def _questions_at(self, ref: ActorRef[Any]) -> dict[int, Reply]:
        """Return the questions of the system that posts what is told a reference: this one, or another in this loop."""
        core = system_of(ref)
        if core is None or core is self._core:
            return self._questions
        replies = getattr(core, "replies", None)
        return replies._questions if isinstance(replies, Replies) else self._questions

    def _open_reply(self, target: ActorRef[Any]) -> Reply:
        self._count += 1
        path = f"{self._prefix}-{self._count}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply = Reply(path, target, future, self._core)
        self._core.endpoints[path] = reply.receive  # nobody else has such a path
        reply.ref = self._core.own_ref(path)
        self.open[path] = reply
        return reply

    def _send(self, ref: ActorRef[M], message: M, reply: Reply) -> None:
        # A question goes out at once: what a command decides rests on the answer.
        held = HELD.set(None)
        if isinstance(reply.ref, RemoteActorRef):
            self.asking = reply.ref.address
        self.sending = reply
        try:
            ref.tell(message)
        finally:
            self.asking = self.sending = None
            HELD.reset(held)

    def came(self, message: object, sender: ActorAddress) -> None:
        """A question of another process was given to an actor here."""
        self.asked[id(message)] = (message, sender)

    def passed_on(self, message: object, sender: ActorAddress, deliver: Callable[[], bool]) -> bool:
        """Give a message that came from `sender` to what may pass it on, as a region does, for the same asker."""
        self.asking = sender
        try:
            is_taken = deliver()
        finally:
            self.asking = None
        self.handled(message)
        return is_taken

    def handled(self, message: object) -> None:
        """An actor here handled a message; it may answer later all the same."""
        if self.asked:
            self.asked.pop(id(message), None)

    def lost(
        self, message: object, target: ActorRef[Any], why: str, kind: type[CastyError] = AskFailed
    ) -> None:
        """A message will not be handled, or its handler failed: whoever asked it is told at once, by such an error."""
        if not (self._questions or self.asked):
            return
        text = f"ask {shown(target)}: {why}; there will be no reply"
        question = self._questions.get(id(message))
        if question is not None and question.asker.is_stopping:
            question = None  # whoever stops the system is told that, not what becomes of each actor
        if question is not None and question.message is message and not question.future.done():
            question.future.set_exception(kind(text))
        asked = self.asked.pop(id(message), None)
        if asked is not None and asked[0] is message and self._core.remote is not None:
            self._core.remote.refuse(asked[1], kind(text))

    def at(self, path: str) -> Reply | None:
        """Return the open question of a path."""
        return self.open.get(path.lstrip("/"))

    def fail(self, path: str, error: Exception) -> None:
        """End a question with an error; harmless when it ended already."""
        reply = self.at(path)
        if reply is not None and not reply.future.done():
            reply.future.set_exception(error)

    def end_all(self) -> None:
        """The system shut down: end every open question, each of which went out and may have been handled."""
        self._deadlines.close()
        for path, reply in list(self.open.items()):
            text = f"ask {shown(reply.target)}: system {self._core.name!r} shut down before the reply came"
            self.fail(path, AskFailed(f"{text} ({''.join(reply.phase)}); it may have been handled"))
