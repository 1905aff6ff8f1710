"""From what is left of a cluster, or from a backup, to a new generation: what is read, chosen, changed and written."""
