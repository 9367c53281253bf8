"""The Flask application behind proxies that add the client's address and scheme."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from service.http_client import addresses
from service.web.pasted_urls import tidied

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Application(Flask):
    """Trusts this many ``proxies`` about the client's address and scheme, and tidies pasted paths.

    The host is the ``Host`` header of the last proxy, because anybody can send
    ``X-Forwarded-Host``.
    """

    def __init__(self, proxies: int) -> None:
        super().__init__("patchbay", static_folder=None)
        self._proxies = proxies
        self._behind = ProxyFix(super().wsgi_app, x_for=0, x_proto=proxies, x_host=0)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Not by ProxyFix, which takes the header's text as it is, with a port.
        environ["REMOTE_ADDR"] = addresses.client(
            environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_FORWARDED_FOR", ""), self._proxies
        )
        environ["PATH_INFO"] = tidied(environ.get("PATH_INFO", ""))
        return self._behind(environ, start_response)
