"""Lets pages of any origin call ``/v2`` with a token, which travels in a header.

The console's cookie is of no use to them: browsers show a page no answer to a request with cookies
that does not allow its origin by name, and the header that changes something is not allowed here.

They may read ``/openapi.json`` too, since tools that show such a document are pages as well.
"""

from __future__ import annotations

from flask import Flask, Response, request

OPEN = ("/v2/", "/openapi.json")


def register(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer before any guard asks for a token: browsers send none with a pre-flight."""
    if request.method != "OPTIONS" or not request.path.startswith(OPEN):
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
    response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE"
    response.headers["Access-Control-Max-Age"] = "86400"
    return response


def _allow(response: Response) -> Response:
    if request.path.startswith(OPEN):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "x-request-id"
    return response
