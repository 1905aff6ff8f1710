"""Planted bugs: each breaks one safeguard from outside, and the simulator has to find it.

A checker that never found anything proves nothing. Each bug replaces one named attribute by a wrong one; the runner
counts the seeds until a run of its scenario does not hold.
"""
