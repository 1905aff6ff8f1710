"""Plans: one run as a document, how it is read, and how a seed becomes one."""
