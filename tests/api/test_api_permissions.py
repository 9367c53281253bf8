"""The need of each handler, in one table, and its enforcement."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.security.permissions import Need
from service.web.auth import require_nothing
from service.web.declarations import declared

NEEDS = {
    "agents.create": Need.ACCOUNT,
    "agents.delete": Need.ACCOUNT,
    "agents.get": Need.ACCOUNT,
    "agents.index": Need.ACCOUNT,
    "agents.update": Need.ACCOUNT,
    "calls.delete": Need.ACCOUNT,
    "calls.end": Need.SELF,
    "calls.get": Need.SELF,
    "calls.index": Need.MODERATE,
    "calls.place": Need.DIAL,
    "calls.switch_room": Need.MODERATE,
    "calls.transfer": Need.DIAL,
    "connectors.create": Need.ACCOUNT,
    "connectors.delete": Need.ACCOUNT,
    "connectors.get": Need.ACCOUNT,
    "connectors.index": Need.ACCOUNT,
    "connectors.rotate": Need.ACCOUNT,
    "connectors.update": Need.ACCOUNT,
    "console_calls.get": Need.ACCOUNT,
    "console_health.get": Need.ACCOUNT,
    "console_live.feed": Need.ACCOUNT,
    "console_live_calls.by_room": Need.ACCOUNT,
    "console_live_calls.index": Need.ACCOUNT,
    "console_loudness.get": Need.ACCOUNT,
    "console_pages.file": Need.NOTHING,
    "console_pages.page": Need.NOTHING,
    "console_pages.root": Need.NOTHING,
    "console_session.enter": Need.NOTHING,
    "console_session.get": Need.NOTHING,
    "console_session.leave": Need.NOTHING,
    "console_simulated_calls.get": Need.ACCOUNT,
    "console_simulated_calls.hang_up": Need.ACCOUNT,
    "console_simulated_calls.index": Need.ACCOUNT,
    "console_simulated_calls.place": Need.ACCOUNT,
    "deliveries.index": Need.ACCOUNT,
    "deliveries.redeliver": Need.ACCOUNT,
    "dispatch.connect": Need.MODERATE,
    "dispatch.create": Need.MODERATE,
    "health.alive": Need.NOTHING,
    "health.ready": Need.NOTHING,
    "hooks.answer": Need.OWN_KEY,
    "hooks.dialled": Need.OWN_KEY,
    "hooks.gather": Need.OWN_KEY,
    "hooks.status": Need.OWN_KEY,
    "ingest.create": Need.JOIN,
    "keys.get": Need.NOTHING,
    "metrics.read": Need.ACCOUNT,
    "nodes.ask": Need.NODE,
    "older_routing_rules.create_older": Need.ACCOUNT,
    "older_routing_rules.delete_older": Need.ACCOUNT,
    "older_routing_rules.get_older": Need.ACCOUNT,
    "older_routing_rules.index_older": Need.ACCOUNT,
    "older_routing_rules.update_older": Need.ACCOUNT,
    "openapi.document": Need.NOTHING,
    "room_deliveries.index_of_room": Need.MODERATE,
    "room_deliveries.redeliver_of_room": Need.MODERATE,
    "rooms.create": Need.MODERATE,
    "rooms.deactivate": Need.MODERATE,
    "rooms.get": Need.JOIN,
    "rooms.index": Need.MODERATE,
    "rooms.update": Need.MODERATE,
    "rooms.validate": Need.JOIN,
    "routing_rules.create": Need.ACCOUNT,
    "routing_rules.delete": Need.ACCOUNT,
    "routing_rules.get": Need.ACCOUNT,
    "routing_rules.index": Need.ACCOUNT,
    "routing_rules.update": Need.ACCOUNT,
    "sessions.active": Need.MODERATE,
    "sessions.end": Need.MODERATE,
    "sessions.get": Need.MODERATE,
    "sessions.index": Need.MODERATE,
    "sessions.index_with_slash": Need.MODERATE,
    "sessions.participant": Need.SELF,
    "sessions.participant_stats": Need.SELF,
    "sessions.participants": Need.MODERATE,
    "sessions.remove": Need.SELF,
    "sessions.stats": Need.MODERATE,
    "sockets.plivo": Need.OWN_KEY,
    "sockets.telnyx": Need.OWN_KEY,
    "sockets.twilio": Need.OWN_KEY,
    "sockets.videosdk": Need.OWN_KEY,
    "subscriptions.create": Need.ACCOUNT,
    "subscriptions.delete": Need.ACCOUNT,
    "subscriptions.get": Need.ACCOUNT,
    "subscriptions.index": Need.ACCOUNT,
    "subscriptions.replace": Need.ACCOUNT,
    "subscriptions.update": Need.ACCOUNT,
}

LACKS = re.compile(r"This token's permissions (lack|mix) .*\.")
TIED = re.compile(r"(This|A) token (is )?tied to one room or participant.*\.")


def addresses(app: Flask) -> Iterator[tuple[str, str, Need]]:
    """The method, path and need of every handler that takes a token."""
    for rule in app.url_map.iter_rules():
        need = NEEDS[rule.endpoint]
        # The live socket asks for its handshake and origin first.
        if need.takes_token and rule.endpoint != "console_live.feed":
            path = re.sub("<[^>]+>", "x1", rule.rule)
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                yield method, path, need


def refusals(client: FlaskClient, app: Flask, sentence: re.Pattern[str]) -> set[Need]:
    """Needs of the handlers that refuse the token; all handlers of one need have to agree."""
    refused, served = set[Need](), set[Need]()
    for method, path, need in addresses(app):
        response = client.open(path, method=method, json=None if method == "GET" else {})
        message = (response.json or {}).get("message") if response.is_json else ""
        is_refusal = response.status_code == 403 and bool(sentence.fullmatch(str(message)))
        (refused if is_refusal else served).add(need)
    assert not refused & served
    return refused


def test_every_handler_declares_its_need(app: Flask) -> None:
    found = {
        rule.endpoint: declared(app.view_functions[rule.endpoint]).need
        for rule in app.url_map.iter_rules()
    }
    assert found == NEEDS


def test_handler_that_needs_a_token_has_a_guard(app: Flask) -> None:
    for endpoint, need in NEEDS.items():
        guards = app.before_request_funcs[endpoint.partition(".")[0]]
        assert (require_nothing in guards) is (need is Need.NOTHING), endpoint


def test_a_handler_without_a_declared_need_is_an_error(app: Flask, client: FlaskClient) -> None:
    app.view_functions["agents.index"] = lambda: "open"
    assert client.get("/v2/agents").status_code == 500


def test_joining_token_sees_neither_webhook_nor_allowed_participants(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    webhook = {"endPoint": "https://hooks.example.com/?secret=abc", "events": ["session-*"]}
    room = {"customRoomId": "r", "webhook": webhook, "allowedParticipantIds": ["ann"]}
    made = authorised(app).post("/v2/rooms", json=room).json
    for path in ("/v2/rooms/r", "/v2/rooms/validate/r"):
        assert authorised(app, permissions=["allow_mod"]).get(path).json == made
        for permission in ("ask_join", "allow_join"):
            seen = authorised(app, permissions=[permission]).get(path).json
            assert seen == {**made, "webhook": None, "allowedParticipantIds": []}


@pytest.mark.parametrize("permissions", [["ask_join"], ["allow_join"], "allow_join"])
def test_a_token_for_joining_only_joins(
    app: Flask, authorised: Callable[..., FlaskClient], permissions: object
) -> None:
    client = authorised(app, permissions=permissions)
    assert refusals(client, app, LACKS) == {Need.SELF, Need.MODERATE, Need.DIAL, Need.ACCOUNT}


@pytest.mark.parametrize("permissions", [[], None, "", ["ALLOW_MOD"], ["allow_mods", "admin"]])
def test_token_with_unknown_permissions_only_is_refused(
    app: Flask, authorised: Callable[..., FlaskClient], permissions: object
) -> None:
    client = authorised(app, permissions=permissions)
    everything = {need for need in Need if need.takes_token}
    assert refusals(client, app, LACKS) == everything


@pytest.mark.parametrize("other", ["allow_join", "allow_mod"])
def test_token_that_mixes_ask_join_is_refused(
    app: Flask, authorised: Callable[..., FlaskClient], other: str
) -> None:
    client = authorised(app, permissions=["ask_join", other])
    assert refusals(client, app, LACKS) == {need for need in Need if need.takes_token}


@pytest.mark.parametrize("permissions", [{"allow_mod": True}, 7, [["allow_mod"]], ["allow_mod", 1]])
def test_malformed_permissions_are_401(
    app: Flask, authorised: Callable[..., FlaskClient], permissions: object
) -> None:
    assert authorised(app, permissions=permissions).get("/v2/connectors").status_code == 401


@pytest.mark.parametrize("claims", [{}, {"permissions": ["allow_join", "allow_mod"]}])
def test_a_token_of_a_server_does_everything(
    app: Flask, authorised: Callable[..., FlaskClient], claims: dict[str, Any]
) -> None:
    client = authorised(app, **claims)
    assert not refusals(client, app, LACKS)
    assert not refusals(client, app, TIED)


@pytest.mark.parametrize("permissions", [{}, {"permissions": ["allow_mod"]}])
@pytest.mark.parametrize("tie", [{"roomId": "r1"}, {"participantId": "p1"}])
def test_a_tied_token_does_not_dial_and_does_not_reach_the_account(
    app: Flask,
    authorised: Callable[..., FlaskClient],
    permissions: dict[str, Any],
    tie: dict[str, str],
) -> None:
    client = authorised(app, **permissions, **tie)
    refused = {
        need
        for method, path, need in addresses(app)
        if need in (Need.ACCOUNT, Need.DIAL)
        and TIED.fullmatch(client.open(path, method=method, json={}).json["message"])
    }
    assert refused == {Need.ACCOUNT, Need.DIAL}


def test_a_token_for_joining_as_one_participant_reaches_that_participant(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    client = authorised(app, permissions=["allow_join"], participantId="x1")
    assert client.get("/v2/sip/call/x1").status_code == 404
    assert client.post("/v2/sip/call/end", json={"callId": "x1"}).status_code == 404
    assert client.post("/v2/sip/call/transfer", json={}).status_code == 403


def test_joining_token_dispatches_no_agent(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    body = {"roomId": "abcd-efgh-ijkl", "agent": {"id": "agent_1"}}
    joining = authorised(app, permissions=["allow_join"])
    assert joining.post("/v2/ingest/sessions", json=body).status_code == 403
    assert joining.post("/v2/ingest/sessions", json={"roomId": body["roomId"]}).status_code == 201
    moderating = authorised(app, permissions=["allow_mod"])
    assert moderating.post("/v2/ingest/sessions", json=body).status_code == 201


@pytest.mark.parametrize("permissions", [["allow_join"], ["ask_join"], []])
def test_a_token_for_joining_does_not_sign_in_to_the_console(
    app: Flask, token: Callable[..., str], permissions: list[str]
) -> None:
    answer = app.test_client().post(
        "/console/api/session", json={"token": token(permissions=permissions)}
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_document_describes_each_need(app: Flask) -> None:
    document = app.test_client().get("/openapi.json").json
    placing = document["paths"]["/v2/sip/call"]["post"]
    assert placing["description"] == Need.DIAL.value
    assert "403" in placing["responses"]
    assert "description" not in document["paths"]["/healthz"]["get"]
