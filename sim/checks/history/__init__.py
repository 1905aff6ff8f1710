"""Checkers of histories: they know what clients asked and saw, and nothing else."""
