"""Recordings, their spools, and the jobs that make their files."""
