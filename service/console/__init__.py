"""The console: a page for people, who sign in to it, and the few addresses that only it asks.

The page itself is in ``static``: HTML, CSS and ES modules as the browser gets them. It speaks the
JSON API like any other client; what it needs beyond that is below ``/console/api``, and is no part
of the API's document. As in ``api``, every blueprint stands beside its guard.
"""

from __future__ import annotations

from flask import Flask

from service.console import calls, health, live, loudness, pages, session, test_calls
from service.web.auth import require_nothing, require_token

GUARDED = (
    (pages.pages, require_nothing),
    (session.session, require_nothing),
    (calls.calls, require_token),
    (loudness.loudness, require_token),
    (live.calls, require_token),
    (live.watching, live.require_watcher),
    (test_calls.trials, require_token),
    (health.health, require_token),
)

BODY_LIMITS = {"/console/api/trials": test_calls.MAX_BODY}
"""The longest body in bytes of each path that takes longer ones than the rest of the service."""

for _blueprint, _guard in GUARDED:
    _blueprint.before_request(_guard)


def register(app: Flask) -> None:
    """Register the room with ``app``, after ``api``."""
    for blueprint, _ in GUARDED:
        app.register_blueprint(blueprint)
