"""Streams between actors: elements in order, each at most once, as many as the consumer asked for and no more."""
