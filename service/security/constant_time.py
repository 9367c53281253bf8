"""Comparison of secrets in constant time."""

from __future__ import annotations

import hmac


def equal(sent: str, known: str) -> bool:
    """Compare text from outside with a secret. The duration tells nothing about the secret.

    A lone surrogate, which UTF-8 cannot encode, is compared as a question mark.
    """
    return hmac.compare_digest(sent.encode(errors="replace"), known.encode())
