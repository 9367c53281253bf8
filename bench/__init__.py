"""Benchmark of the cost of a call in Patchbay and in common alternatives."""
