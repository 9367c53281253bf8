"""The console's page and files. Every page address gets one document, whose script routes it."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from service.domain.origins import origin
from service.errors import NotFound
from service.security.permissions import Need
from service.web.declarations import needs
from service.web.services import services

STATIC = Path(__file__).with_name("static")

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Systems name these types differently, and a browser runs no script of another type."""

pages = Blueprint("console_pages", __name__)


@pages.get("/")
@needs(Need.NOTHING)
def root() -> Response:
    response = Response(status=302)
    response.headers["Location"] = "/console/"
    return response


@pages.get("/console/")
@pages.get("/console/<path:page>")
@needs(Need.NOTHING)
def page(page: str = "") -> Response:
    if page.startswith("api/"):
        raise NotFound("There is nothing at this address.")
    return _file("index.html")


@pages.get("/console/static/<path:name>")
@needs(Need.NOTHING)
def file(name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    response = send_from_directory(STATIC, name, mimetype=TYPES.get(Path(name).suffix))
    # Browsers revalidate each time, mostly with a 304, so a new version shows immediately.
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = _policy()
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "microphone=(self)"
    return response


def _policy() -> str:
    # In some browsers 'self' does not cover WebSockets of the same host.
    sockets = f" ws://{request.host} wss://{request.host}" if request.host else ""
    # The room page opens its socket at the machine of the room.
    machines = (origin(f"ws{url.removeprefix('http')}") for url in services().directory.urls)
    sockets += "".join(f" {each}" for each in machines)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"media-src 'self' blob:; connect-src 'self'{sockets}; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
