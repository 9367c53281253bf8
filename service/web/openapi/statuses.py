"""Meanings and headers of the statuses of refusals, for the OpenAPI document."""

from __future__ import annotations

MEANINGS = {
    400: "The request is invalid.",
    401: "The token is missing or invalid.",
    403: "The token is valid, but does not allow this.",
    404: "There is nothing with this id.",
    409: "The request conflicts with the current state.",
    410: "The reference was used already, or has expired.",
    413: "The body is too large.",
    414: "The address with its query is too long.",
    415: "The content type of the body is not supported.",
    429: "Too many requests from this address have failed: retry after `Retry-After` seconds.",
    431: "The header fields are too large.",
    500: "Something went wrong on our side.",
    502: "The provider or agent gave no valid answer.",
    503: "Full, restarting, or without its database: retry after `Retry-After` seconds.",
}

REQUEST_ID = {"x-request-id": "RequestId"}
HEADERS = {
    401: {"WWW-Authenticate": "Challenge"},
    429: {"Retry-After": "RetryAfter"},
    503: {"Retry-After": "RetryAfter"},
}
"""Names of header components by header, for all answers and by status."""
