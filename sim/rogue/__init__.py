"""A process that forges frames."""
