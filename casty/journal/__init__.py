"""Event journals: history outside the cluster."""
