"""Tests of how the source is written. A package, so that what its fixtures keep ends with it."""
