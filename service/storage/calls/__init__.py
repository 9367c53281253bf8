"""Calls: rows, queries and changes."""
