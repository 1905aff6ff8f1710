"""Checkers: of histories, which only know what clients saw, and of steps, which look into the nodes."""
