"""Runs: of one plan, of many seeds, of a user's test."""
