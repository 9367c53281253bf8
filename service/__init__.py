"""Patchbay: phone calls into rooms, without a SIP trunk."""

__version__ = "0.1.0"
