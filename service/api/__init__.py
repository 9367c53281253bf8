"""The HTTP API: REST as in VideoSDK's v2 API, provider webhooks and WebSocket upgrades.

Every blueprint is in ``GUARDED`` with the guard that runs before each of its requests. Every
handler declares its need with ``needs``. So no resource is open by omission.
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
    nodes,
    openapi,
    public_keys,
    rooms,
    routing_rules,
    sessions,
    subscriptions,
)
from service.web import cors, errors, request_log, responses, security_headers, websocket_handshake
from service.web.auth import require_nothing, require_room_token, require_token
from service.web.url_converters import IdConverter, NameConverter, RoomNameConverter
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
    (nodes.nodes, nodes.require_node),
    (openapi.openapi, require_nothing),
)

# Not in register(): a blueprint accepts no hooks after an app has registered it.
for _blueprint, _guard in GUARDED:
    _blueprint.before_request(_guard)


def register(app: Flask) -> None:
    """Register the blueprints with ``app``.

    Expects the app's ``Services`` and ``app.config["PROVIDERS"]`` (the names of the providers on
    offer) by the first request.
    """
    app.json = responses.OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.converters["id"] = IdConverter
    # Otherwise Werkzeug redirects /v2//connectors before any guard runs. Behind an untrusted proxy
    # the target is http, and the token or the webhook key in the path would be sent in the clear.
    app.url_map.merge_slashes = False
    app.url_map.converters["name"] = NameConverter
    app.url_map.converters["room"] = RoomNameConverter
    request_log.register(app)
    security_headers.register(app)
    cors.register(app)
    errors.register(app)
    websocket_handshake.register(app)
    for blueprint, _ in GUARDED:
        app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("hooks.") and rule.methods is not None:
            # Werkzeug accepts HEAD where it accepts GET, and here it would start or end a call.
            rule.methods.discard("HEAD")
