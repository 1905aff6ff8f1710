"""Links between processes: the seam, TCP and TLS behind it, handshakes, dialling and batching above it."""
