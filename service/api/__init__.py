"""The HTTP room: JSON REST as VideoSDK's v2 API has it, provider webhooks and socket upgrades.

Every blueprint stands in ``GUARDED`` beside the guard that runs before each of its requests,
``require_nothing`` included, and every handler declares what it ``needs``, so that no resource is
open by omission.
"""

from __future__ import annotations

from flask import Flask

from service.api import (
    agents,
    calls,
    connectors,
    deliveries,
    dispatch,
    health,
    hooks,
    ingest_sessions,
    media_sockets,
    metrics,
    openapi,
    public_keys,
    rooms,
    routing_rules,
    sessions,
    subscriptions,
)
from service.web import cors, errors, request_log, responses, security_headers, websocket_handshake
from service.web.auth import require_nothing, require_room_token, require_token
from service.web.url_converters import Identifier, Name, RoomName
from service.web.validation import MAX_BODY

GUARDED = (
    (connectors.connectors, require_token),
    (ingest_sessions.ingest, require_token),
    (agents.agents, require_token),
    (dispatch.dispatch, require_room_token),
    (rooms.rooms, require_room_token),
    (sessions.sessions, require_token),
    (calls.calls, require_token),
    (routing_rules.rules, require_token),
    (routing_rules.older, require_token),
    (subscriptions.subscriptions, require_token),
    (deliveries.deliveries, require_token),
    (deliveries.room_deliveries, require_room_token),
    (public_keys.keys, require_nothing),
    (hooks.hooks, hooks.require_signature),
    (media_sockets.sockets, media_sockets.require_reference),
    (health.health, require_nothing),
    (metrics.metrics, metrics.require_metrics_token),
    (openapi.openapi, require_nothing),
)

# Here and not in register(): a blueprint takes no more hooks once any app has registered it.
for _blueprint, _guard in GUARDED:
    _blueprint.before_request(_guard)


def register(app: Flask) -> None:
    """Register the room with ``app``.

    Expects the app's ``Services`` and ``app.config["PROVIDERS"]`` (the names of the providers on
    offer) by the first request.
    """
    app.json = responses.OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.converters["id"] = Identifier
    # Else /v2//connectors would be redirected, in HTML and before any guard, to an origin that is
    # http behind a proxy that is not trusted: with the token, or the webhook key in the path.
    app.url_map.merge_slashes = False
    app.url_map.converters["name"] = Name
    app.url_map.converters["room"] = RoomName
    request_log.register(app)
    security_headers.register(app)
    cors.register(app)
    errors.register(app)
    websocket_handshake.register(app)
    for blueprint, _ in GUARDED:
        app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("hooks.") and rule.methods is not None:
            # Werkzeug lets HEAD in wherever GET is, and there it would start or end a call.
            rule.methods.discard("HEAD")
