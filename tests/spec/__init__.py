"""Tests of the specification. A package, so that the clusters of its fixtures end with it."""
