"""Measurements on real processes. Compare figures of one run only: machines have moods."""
