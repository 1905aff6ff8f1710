"""Bytes and messages: framing, packing, the value codec and the handshake. No I/O and no clock."""
