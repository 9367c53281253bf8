"""Recordings: spools of raw audio while a call is up, and files for listeners afterwards."""
