"""Soak test: calls come and go, and resources must return to their start."""
