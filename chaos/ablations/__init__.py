"""Planted bugs: each breaks one safeguard from outside, and the simulator has to find it."""
