"""TLS between two links: what the one above writes leaves encrypted on the one below.

It runs over any link and never waits, so unfinished handshakes are bounded by whoever bounds links, and the
first byte can be judged: TLS on one side only is a clear error on both.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from casty.ports import Link, LinkFactory
from casty.tls import TlsError
from casty.transport.certificates import names_host

__all__ = ["TlsLink"]

_READ_BYTES = 256 * 1024
_ALERT, _HANDSHAKE = 0x15, 0x16
# Record of type alert, TLS 1.2, two bytes: fatal, handshake failure. A plain dialler knows its first byte.
_FATAL_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
_ONE_SIDED = "give both ends a tls configuration, or neither"


class TlsLink:
    """One encrypted stream.

    Parameters
    ----------
    raw
        The link below, which this object hears.
    context
        The context of this side.
    on_link
        Makes the handler above.
    hostname
        What the other end's certificate must name; None on the side that took the link.
    """

    __slots__ = (
        "_error",
        "_handler",
        "_incoming",
        "_is_closed",
        "_is_closing",
        "_is_judged",
        "_is_ready",
        "_is_server",
        "_missing_bytes",
        "_outgoing",
        "_pending",
        "_pending_bytes",
        "_raw",
        "_tls",
    )

    def __init__(
        self, raw: Link, context: ssl.SSLContext, on_link: LinkFactory, *, hostname: str | None
    ) -> None:
        self._raw = raw
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._is_server = hostname is None
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=self._is_server, server_hostname=hostname
        )
        self._is_ready = False
        self._is_closed = False
        self._is_closing = False
        self._is_judged = False
        self._error: TlsError | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._missing_bytes: int | None = None
        self._handler = on_link(self)

    @property
    def peer(self) -> tuple[str, int]:
        """The other end as (host, port)."""
        return self._raw.peer

    @property
    def buffered_bytes(self) -> int:
        """Bytes that the network has not taken yet."""
        return self._pending_bytes + self._raw.buffered_bytes

    def proves(self, host: str) -> bool:
        """Whether the other end's certificate, which was verified, names that host."""
        return names_host(self._tls.getpeercert(), host)

    def start(self) -> None:
        """Say the first word of the handshake; the dialling side's."""
        self._shake()

    # -- what the owner calls

    def write(self, data: bytes) -> None:
        """Encrypt and queue bytes; before the handshake is over they wait here."""
        self.write_parts((data,))

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Encrypt and queue pieces."""
        if self._is_closed or self._is_closing:
            return
        if not self._is_ready:
            self._pending.extend(parts)
            self._pending_bytes += sum(map(len, parts))
            return
        try:
            for part in parts:
                self._encrypt(part)
        except ssl.SSLError as error:
            self._break(_describe(error))
        self._flush()

    def close(self) -> None:
        """Say good-bye, send what is queued, then end."""
        if self._is_closed:
            return
        if self._pending:
            self._is_closing = (
                True  # what is queued waits for the handshake; its failure ends the link as well
            )
            return
        if self._is_ready:
            with suppress(ssl.SSLError):  # wants the other end's good-bye, for which nobody waits
                self._tls.unwrap()
            self._flush()
        self._is_closed = True
        self._raw.close()

    def abort(self) -> None:
        """End at once."""
        self._is_closed = True
        self._raw.abort()

    def pause_reading(self) -> None:
        """Read nothing more from the link below; all that came of it was handed on."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._raw.resume_reading()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back when the link below took nearly everything."""
        self._raw.when_drained(callback)

    # -- what the link below calls

    def data_received(self, data: bytes) -> int | None:
        """Decrypt, and hand on what comes out."""
        if self._is_closed:
            return None
        if not self._is_judged:
            self._is_judged = True
            if self._is_plain(data[0]):
                return None
        self._incoming.write(data)
        if not self._is_ready:
            self._shake()
        if self._is_ready and not self._is_closed:
            self._read()
        return self._missing_bytes

    def link_lost(self, reason: BaseException | None) -> None:
        """The link below is gone."""
        self._is_closed = True
        self._handler.link_lost(self._error or reason)

    # -- inside

    def _is_plain(self, first_byte: int) -> bool:
        """Refuse an end that does not speak TLS, by the first byte it sends."""
        if first_byte == _HANDSHAKE or (first_byte == _ALERT and not self._is_server):
            return False
        if self._is_server:
            self._raw.write(_FATAL_ALERT)
        self._break(f"expected TLS, found plain bytes (the first is {first_byte:#04x}): {_ONE_SIDED}")
        return True

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the other end why
            self._break(_describe(error))
            return
        self._is_ready = True
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for data in pending:
            self._encrypt(data)
        self._flush()
        if self._is_closing:
            self.close()

    def _read(self) -> None:
        chunks: list[bytes] = []
        failure: str | None = None
        is_over = False
        try:
            while not is_over:
                chunk = self._tls.read(_READ_BYTES)
                chunks.append(chunk)
                is_over = not chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            is_over = True
        except ssl.SSLError as error:
            failure = _describe(error)
        self._flush()
        if chunks:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if data:
                self._missing_bytes = self._handler.data_received(data)
        if failure is not None:
            self._break(failure)
        elif is_over:
            self.close()

    def _encrypt(self, data: bytes) -> None:
        size = len(data)
        written = self._tls.write(data)
        if written < size:
            # One record at a time: OpenSSL takes no more in one call.
            view = memoryview(data)
            while written < size:
                written += self._tls.write(view[written:])

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def _break(self, text: str) -> None:
        if self._error is None:
            self._error = TlsError(text)
        self._is_closed = True
        self._raw.close()


_ALERTS = {
    "UNKNOWN_CA": "it does not trust the authority that signed the certificate shown here",
    "CERTIFICATE_EXPIRED": "the certificate shown here has expired, or is not valid yet",
    "CERTIFICATE_REVOKED": "the certificate shown here was revoked",
    "CERTIFICATE_REQUIRED": "it takes nobody without a certificate, and none was shown here",
    "CERTIFICATE_UNKNOWN": "it does not accept the certificate shown here",
    "BAD_CERTIFICATE": "it does not accept the certificate shown here",
    "DECRYPT_ERROR": "the certificate shown here and its key do not belong together",
    "PROTOCOL_VERSION": "it speaks no version of TLS that is offered here",
}
"""What an alert of the other end says, by what follows ALERT_ in OpenSSL's name for it."""


def _describe(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the other end's certificate was refused: {error.verify_message}"
    reason = error.reason or str(error)
    _, is_alert, alert = reason.partition("ALERT_")
    if not is_alert:
        return f"TLS: {reason}"
    return f"TLS: refused by the other end: {_ALERTS.get(alert, 'it sent an alert')} ({reason})"
