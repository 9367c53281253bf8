"""Rooms and their legs: decode, mix, encode."""
