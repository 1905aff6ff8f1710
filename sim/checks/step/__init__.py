"""Checkers of steps: they look into nodes and clients while these run."""
