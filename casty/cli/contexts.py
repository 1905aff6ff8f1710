"""TLS contexts from the ``[tls]`` section of a configuration."""

from __future__ import annotations

from casty import tls
from casty.config_file import TlsSection

__all__ = ["tls_config"]


def tls_config(section: TlsSection | None) -> tls.Config | None:
    """Read the files that the section names; None without a section."""
    if section is None:
        return None
    return tls.Config.from_paths(certfile=section.certfile, cafile=section.cafile, keyfile=section.keyfile)
