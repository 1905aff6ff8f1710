"""The one error tree. Every text says what was expected, what was found, and what to do."""

from __future__ import annotations

__all__ = [
    "AlreadyHeld",
    "AskFailed",
    "BackupDamaged",
    "BackupError",
    "BackupUnknown",
    "BrokenBarrier",
    "CastyError",
    "ConfigError",
    "Destroyed",
    "DiskError",
    "DiskFull",
    "EncodingError",
    "InternalError",
    "JournalConflict",
    "JournalError",
    "LocalProtocolError",
    "LockLost",
    "MessageTooLarge",
    "Mismatch",
    "NotOnRecord",
    "NotStarted",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolError",
    "QueueFull",
    "RecoveryError",
    "Refused",
    "RemoteProtocolError",
    "SessionExpired",
    "StreamClosed",
    "StreamError",
    "StreamFailed",
    "StreamGap",
    "StreamLost",
    "StreamTaken",
    "Superseded",
    "Unavailable",
    "Undecodable",
    "UnknownRegion",
    "UpgradeRefused",
]


class CastyError(Exception):
    """Base of every error that casty raises on purpose."""


class ConfigError(CastyError, ValueError):
    """A configuration file or variable says something that casty does not understand; the key is named."""


class Unavailable(CastyError, TimeoutError):
    """No route or no quorum until the deadline; the operation provably was not applied."""


class OutcomeUnknown(CastyError, TimeoutError):
    """The deadline passed after the request was sent: it was applied once, or never."""


class SessionExpired(CastyError):
    """The cluster gave this client up; what it held in that slot is free."""


class Superseded(CastyError):
    """Another generation was recovered from this node's cluster: it serves nobody any more, and starts only empty."""


class BackupError(CastyError):
    """A backup cannot be written or read; the text says which record is wrong, and what to do."""


class BackupDamaged(BackupError):
    """The file is cut off, or a record in it is not what was written."""


class BackupUnknown(BackupError):
    """The file is no backup, or one of a format that this version does not read."""


class RecoveryError(CastyError):
    """A cluster cannot be recovered from what was given; the text says what is missing."""


class LockLost(CastyError):
    """A hold ended before its owner released it."""


class AlreadyHeld(CastyError, RuntimeError):
    """The task that holds an instance tried to acquire the same instance again."""


class UpgradeRefused(AlreadyHeld):
    """The task that asks to write reads already, with the same instance: release that first, then look again."""


class Destroyed(CastyError):
    """The structure was destroyed while the call waited; the call was not applied."""


class BrokenBarrier(CastyError):
    """A party of a barrier generation was lost, and that barrier breaks on loss."""


class Mismatch(CastyError, ValueError):
    """The name exists with other settings; both values are named."""


class UnknownRegion(CastyError):
    """No region of that name, or one with another shard count, exists in the cluster."""


class NotStarted(CastyError, RuntimeError):
    """The object is used outside its ``async with``, or in another event loop than the one that entered it."""


class Refused(CastyError):
    """The other end refused the handshake; both sides' values are named."""


class MessageTooLarge(CastyError):
    """A value or frame exceeds a configured limit; the limit is named."""


class EncodingError(CastyError, TypeError):
    """A value cannot be encoded, or bytes cannot be decoded; the path of the field is named."""


class Undecodable(EncodingError):
    """A value of the cluster cannot be decoded on this side: its class is missing here, or is another.

    Attributes
    ----------
    data
        The bytes of the value.
    was_applied
        Whether the call changed something all the same. Then the cluster may not have the value any more.
    """

    def __init__(self, text: str, data: bytes, was_applied: bool) -> None:
        super().__init__(text)
        self.data = data
        self.was_applied = was_applied

    def __reduce__(self) -> tuple[type[Undecodable], tuple[str, bytes, bool]]:
        return type(self), (str(self), self.data, self.was_applied)


class ProtocolError(CastyError):
    """Base of protocol violations; see the two subclasses."""


class LocalProtocolError(ProtocolError):
    """This side tried an illegal move."""


class RemoteProtocolError(ProtocolError):
    """The other side sent bytes that the protocol does not allow."""


class Overloaded(CastyError):
    """A configured bound is reached; the bound is named."""


class QueueFull(Overloaded):
    """A queue has as many items as its `maxsize` allows; nothing was added. `Queue.put` waits for room."""


class AskFailed(CastyError, TimeoutError):
    """The actor that was asked is gone, failed at the question, or says that it does not handle it; it is named."""


class StreamError(CastyError):
    """A stream ended otherwise than by its completion; the text says why. What came before can be counted on."""


class StreamClosed(StreamError):
    """The stream is over: it was completed, or the consuming side wants no more. What was put last is not sent."""


class StreamFailed(StreamError):
    """One side of the stream said that it cannot go on; the text is its reason."""


class StreamGap(StreamError):
    """An element was lost on the way. All before it came, in order, and none after it is handed out."""


class StreamLost(StreamError):
    """The other side of the stream stopped, its process is gone, or it was not heard for too long."""


class StreamTaken(StreamError):
    """The producer has another consumer, or had one: a producer serves one subscription."""


class JournalError(CastyError):
    """An event journal refused or failed; the text says which, and what became of the call."""


class JournalConflict(JournalError):
    """The journal has other events than the writer expected: the writer is stale.

    Attributes
    ----------
    sequence_nr
        The number at which both differ.
    """

    def __init__(self, text: str, sequence_nr: int) -> None:
        super().__init__(text)
        self.sequence_nr = sequence_nr

    def __reduce__(self) -> tuple[type[JournalConflict], tuple[str, int]]:
        return type(self), (str(self), self.sequence_nr)


class NotOnRecord(JournalError, OutcomeUnknown):
    """The cluster applied the call and the journal did not confirm it: it happened once or not at all.

    It happened unless the cluster loses its memory before anybody with the journal uses the structure again.
    """


class DiskError(CastyError):
    """A node's data directory cannot be used: it is full, broken, in use, or of another node or cluster."""


class DiskFull(DiskError):
    """There is no room left for a node's data directory; what was written before is as it was."""


class InternalError(CastyError):
    """A bug in casty; please report it with its text."""
