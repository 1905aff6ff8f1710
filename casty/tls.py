"""What a node or client needs for TLS: one context for links it takes, one for links it makes."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass

__all__ = ["Config", "TlsError"]


class TlsError(ConnectionError):
    """The TLS handshake failed, or only one end speaks TLS; the text says which."""


@dataclass(frozen=True, slots=True)
class Config:
    """The TLS contexts of one process.

    Parameters
    ----------
    server_context
        For links taken. Clients need a certificate exactly when it demands one.
    client_context
        For links made. It must verify the other end's certificate and that its subject alternative name is
        the host that was dialled.

    Raises
    ------
    ValueError
        When `client_context` would accept anybody, or a context is for the other side.
    """

    server_context: ssl.SSLContext
    client_context: ssl.SSLContext

    def __post_init__(self) -> None:
        client, server = self.client_context, self.server_context
        if client.verify_mode != ssl.CERT_REQUIRED:
            raise ValueError(
                f"client_context.verify_mode: expected CERT_REQUIRED, found {client.verify_mode!r}"
            )
        if not client.check_hostname:
            raise ValueError("client_context.check_hostname: expected True, found False")
        if server.protocol == ssl.PROTOCOL_TLS_CLIENT or client.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("expected (server_context, client_context), found contexts of the other side")

    @staticmethod
    def from_paths(
        *,
        certfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str] | None = None,
    ) -> Config:
        """Return mutual TLS: both ends show `certfile` and trust only what `cafile` signed.

        Parameters
        ----------
        certfile
            This process's certificate chain, PEM. Its subject alternative names hold the host under which
            others dial it.
        cafile
            The authorities that signed everybody's certificates, PEM.
        keyfile
            The private key, PEM; None when `certfile` contains it.

        Raises
        ------
        OSError
            When a file cannot be read or is not what it should be.
        """
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(certfile, keyfile)
            context.load_verify_locations(cafile)
            context.verify_mode = ssl.CERT_REQUIRED
        # Links live long and every one shows its certificate: a ticket would never be used.
        server.num_tickets = 0
        return Config(server, client)
