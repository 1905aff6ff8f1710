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
        For links taken. Clients need a certificate exactly when it demands one. Nodes always do, one that names
        the host at which they are reached: it has to ask for certificates (``CERT_REQUIRED`` or ``CERT_OPTIONAL``),
        and `client_context` to show one. None is enough for a client, which takes none.
    client_context
        For links made. It must verify the other end's certificate and that its subject alternative name is
        the host that was dialled.

    Raises
    ------
    TypeError
        When one of them is no context.
    ValueError
        When `client_context` would accept anybody, or a context is for the other side.
    """

    server_context: ssl.SSLContext | None
    client_context: ssl.SSLContext

    def __post_init__(self) -> None:
        client, server = self.client_context, self.server_context
        _check_context("client_context", client)
        if server is not None:
            _check_context("server_context", server)
        if client.verify_mode != ssl.CERT_REQUIRED:
            raise ValueError(
                f"client_context.verify_mode: expected CERT_REQUIRED, found {client.verify_mode!r}"
            )
        if not client.check_hostname:
            raise ValueError("client_context.check_hostname: expected True, found False")
        is_swapped = server is not None and server.protocol == ssl.PROTOCOL_TLS_CLIENT
        if is_swapped or client.protocol == ssl.PROTOCOL_TLS_SERVER:
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
            When a file cannot be read or is not what it should be; the file is named.
        """
        for path in (certfile, cafile, keyfile):
            if path is not None:
                os.close(os.open(path, os.O_RDONLY))  # what ssl raises does not say which file is missing
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            try:
                context.load_cert_chain(certfile, keyfile)
            except OSError as error:
                key = "" if keyfile is None else f" and keyfile {keyfile}"
                raise OSError(
                    f"certfile {certfile}{key}: expected a certificate and its key: {error}"
                ) from error
            try:
                context.load_verify_locations(cafile)
            except OSError as error:
                raise OSError(f"cafile {cafile}: expected certificates: {error}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        # Links live long and every one shows its certificate: a ticket would never be used.
        server.num_tickets = 0
        return Config(server, client)


def _check_context(what: str, context: object) -> None:
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"{what}: expected an ssl.SSLContext, found {context!r:.100}")
