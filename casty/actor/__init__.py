"""Typed actors of one process: behaviours, references, cells, mailboxes and the local system."""
