"""Throttling of addresses that fail too often: 429 instead of the original error.

A valid token, node token, webhook key or reference always passes, because all clients behind an
untrusted proxy share one address. So each is checked first, as cheaply as possible, and only
failures are counted:

    token         its signature: some 40 µs, without the database
    node token    its signature, without the database
    webhook key   one look-up, before the body is read
    reference     the claim; for an address with too many failures one look-up before it, because a
                  claim is a write

A 429 saves the rest of the work and the log lines.
"""

from __future__ import annotations

from flask import request

from service.domain.ids import digest
from service.errors import ServiceError, TooMany
from service.web.services import services


def count_failure(error: ServiceError) -> ServiceError:
    """Count a failure. Return the error to answer with."""
    return _too_many(services().failures.count(_address())) or error


def require_known(ref: str) -> None:
    """Raise ``TooMany`` for an unknown reference from an address with too many failures."""
    error = _too_many(services().failures.wait(_address()))
    if error is not None and not services().stores.calls.has_reference(digest(ref)):
        raise error


def _too_many(seconds: int) -> TooMany | None:
    if not seconds:
        return None
    sentence = "Too many requests from this address have failed; try again later."
    return TooMany(sentence, retry_after=seconds)


def _address() -> str:
    return request.remote_addr or ""
