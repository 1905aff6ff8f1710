"""Faults that are drawn while a test runs, and those that need more than the network."""
