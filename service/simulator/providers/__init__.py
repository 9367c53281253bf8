"""Simulated phone providers."""
