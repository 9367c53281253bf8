"""Security headers of every answer: it is no page and must not be cached.

A view that serves a page sets its own headers, which are kept.
"""

from __future__ import annotations

from flask import Flask, Response

from service.web.services import services

HEADERS = {
    # Answers contain keys and references. Twilio honours this for markup too.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # For embedding. CORS decides about pages that fetch an answer.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

HTTPS_ONLY = "max-age=31536000"
"""One year, without the host's subdomains, which belong to others."""


def register(app: Flask) -> None:
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if (services().settings.public_url or "").startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", HTTPS_ONLY)
    return response
