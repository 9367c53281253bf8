"""Turns addresses away that fail too often: 429 in place of what their failure was.

A good token, webhook key or reference passes whatever else comes from its address, since behind a
proxy that is not trusted everybody has the same one. So each is judged first, by the least that
tells good from bad, and only a failure is counted:

    token         its signature: some 40 µs, nothing is looked up
    webhook key   one look-up, before the body is read
    reference     the claim; of an address that has had too many, one look-up before it, because a
                  claim waits for its turn to write

What a refusal saves is all that follows, and the lines in the log.
"""

from __future__ import annotations

from flask import request

from service.domain.ids import digest
from service.errors import ServiceError, TooMany
from service.web.services import services


def failed(error: ServiceError) -> ServiceError:
    """Count a failure; what it is to be answered with."""
    return _too_many(services().failures.count(_address())) or error


def require_known(ref: str) -> None:
    """Raise ``TooMany`` for an unknown reference from an address that has had too many."""
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
