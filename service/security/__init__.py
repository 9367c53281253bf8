"""Tokens, keys, signatures, encryption and permissions."""
