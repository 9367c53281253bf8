"""CORS: pages of any origin may call ``/v2`` with a token in a header, and read ``/openapi.json``.

They cannot use the console's cookie: browsers withhold an answer to a request with cookies unless
it allows the origin by name, and the console's proof header is not allowed here.
"""

from __future__ import annotations

from flask import Flask, Response, request

OPEN = ("/v2/", "/openapi.json")


def register(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer before any guard requires a token: browsers send none with a pre-flight."""
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
