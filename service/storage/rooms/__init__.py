"""Rooms, sessions and presence."""
