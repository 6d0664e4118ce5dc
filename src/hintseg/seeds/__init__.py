"""From maps of a classifier to seeds: pure functions."""
