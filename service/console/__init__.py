"""The console: a web page for operators, and the endpoints that only it uses.

The page is in ``static``: HTML, CSS and ES modules, served unchanged. It uses the JSON API like
any other client. Its own endpoints are below ``/console/api``, and are not part of the API's
document. As in ``api``, every blueprint is listed with its guard.
"""

from __future__ import annotations

from flask import Flask

from service.console import calls, health, live, loudness, pages, session, simulated_calls
from service.web.auth import require_nothing, require_token

GUARDED = (
    (pages.pages, require_nothing),
    (session.session, require_nothing),
    (calls.calls, require_token),
    (loudness.loudness, require_token),
    (live.calls, require_token),
    (live.live, live.require_console_page),
    (simulated_calls.simulated_calls, require_token),
    (health.health, require_token),
)

BODY_LIMITS = {"/console/api/trials": simulated_calls.MAX_BODY}
"""Maximum body size in bytes of paths that accept longer bodies than the rest of the service."""

for _blueprint, _guard in GUARDED:
    _blueprint.before_request(_guard)


def register(app: Flask) -> None:
    """Register the blueprints with ``app``, after those of ``api``."""
    for blueprint, _ in GUARDED:
        app.register_blueprint(blueprint)
