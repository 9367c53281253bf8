"""What every answer tells browsers and caches: this is no page, and nobody may keep it.

A view that serves a page of its own says otherwise, and is believed.
"""

from __future__ import annotations

from flask import Flask, Response

from service.web.services import services

HEADERS = {
    # Answers hold keys and references, and Twilio honours this for markup too.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # For what is embedded. A page that fetches an answer is asked about by CORS instead.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

HTTPS_ONLY = "max-age=31536000"
"""For a year. Not for the host's subdomains, which are not ours."""


def register(app: Flask) -> None:
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if (services().settings.public_url or "").startswith("https:"):
        response.headers.setdefault("Strict-Transport-Security", HTTPS_ONLY)
    return response
