"""Programs for those who work on casty; nothing of them is installed."""
