"""What each status of a refusal means, and which headers come with it, for the OpenAPI document."""

from __future__ import annotations

MEANINGS = {
    400: "The request is not one that can be acted on.",
    401: "No token, or one that does not hold.",
    403: "The token holds, and does not reach this far.",
    404: "There is nothing of this id.",
    409: "It does not go with what is there already.",
    410: "The reference was used, or has expired.",
    413: "The body is larger than any that is read.",
    414: "The address with its query is longer than a request line may be.",
    415: "The body is of a content type that is not read.",
    429: "Too many requests from this address have failed: come back after `Retry-After` seconds.",
    431: "The header fields are too large.",
    500: "Something went wrong on our side.",
    502: "The provider or agent that was asked gave no valid answer.",
    503: "Full, restarting, or without its database: come back after `Retry-After` seconds.",
}

REQUEST_ID = {"x-request-id": "RequestId"}
HEADERS = {
    401: {"WWW-Authenticate": "Challenge"},
    429: {"Retry-After": "RetryAfter"},
    503: {"Retry-After": "RetryAfter"},
}
"""Names of header components by header and, for those of one status, by status."""
