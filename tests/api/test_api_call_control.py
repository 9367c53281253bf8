"""Moving, transferring and placing calls over HTTP: permissions and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.calls import WEBSOCKET, Call, CallStatus, Direction
from service.domain.connectors import Connector
from service.storage.calls.calls import Calls
from service.storage.database import Database
from service.web.services import services_of
from tests.support import signers
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.missing_tables import missing_table
from tests.support.records import a_call, a_connector

E164 = "must be a phone number in E.164, such as +14155550100."


@pytest.fixture
def calls(app: Flask) -> Calls:
    stored: Calls = services_of(app).stores.calls
    return stored


@pytest.fixture(autouse=True)
def stopped(app: Flask) -> Iterator[None]:
    yield
    services_of(app).provider_api.stop()


@pytest.fixture
def call(calls: Calls) -> Call:
    call = a_call(status=CallStatus.ANSWERED, answered_at=2_000, leg_id="leg", session_id="s1")
    calls.add(call)
    return call


@pytest.fixture
def connector(app: Flask) -> Connector:
    """One that could place calls, were its provider's API there."""
    connector = a_connector(credentials={"accountSid": ("AC1",), "authToken": ("t",)})
    services_of(app).stores.connectors.add(connector)
    return connector


@pytest.fixture
def open_connector(app: Flask) -> Connector:
    """One whose hooks need no signature."""
    connector = a_connector()
    services_of(app).stores.connectors.add(connector)
    return connector


def move(client: FlaskClient, call: Call, **body: Any) -> Any:
    body = {"callId": call.id, "roomId": "room-2", **body}
    return client.post("/v2/sip/call/switch-room", json=body)


def transfer(client: FlaskClient, call: Call, **body: Any) -> Any:
    body = {"callId": call.id, "transferTo": "+442071838750", **body}
    return client.post("/v2/sip/call/transfer", json=body)


def test_a_moved_call_is_answered_without_a_message(
    client: FlaskClient, call: Call, engine: Any
) -> None:
    answer = move(client, call, participantId="zoe")
    assert answer.status_code == 200
    assert list(answer.json) == ["statusCode", "data"]
    data = answer.json["data"]
    assert (data["roomId"], data["sessionId"], data["participantId"]) == ("room-2", None, "zoe")
    assert data["status"] == "answered"
    assert data["timelog"][-1]["status"] == "switch-room-initiated"
    assert engine.moved == [(call.id, "room-2", "zoe")]


def test_transferred_call_has_its_target(client: FlaskClient, call: Call, engine: Any) -> None:
    answer = transfer(client, call)
    assert answer.status_code == 200
    assert answer.json["message"] == "Call transfer initiated successfully"
    assert answer.json["data"]["transfer"] == {
        "to": "+442071838750",
        "status": "transfer-initiated",
    }
    assert "warnings" not in answer.json
    assert engine.released == [call.id]


def test_fields_without_effect_are_named(client: FlaskClient, call: Call) -> None:
    assert move(client, call, token="x").json["warnings"] == [
        "token was ignored: the one in the Authorization header decides."
    ]
    answer = transfer(client, call, playDialtone=True, participant={"id": "p"})
    assert answer.json["warnings"] == [
        "participant was accepted but is not acted on.",
        "playDialtone was accepted but is not acted on.",
    ]


def test_ending_a_call_in_transfer_warns_of_the_line(
    client: FlaskClient, app: Flask, call: Call
) -> None:
    transfer(client, call)
    answer = client.post("/v2/sip/call/end", json={"callId": call.id})
    assert (answer.status_code, answer.json["data"]["status"]) == (200, "ended")
    assert "the line goes down when that is over" in answer.json["warnings"][0]


@pytest.mark.parametrize("act", [move, transfer])
def test_ended_and_unknown_calls_cannot_be_controlled(
    client: FlaskClient, calls: Calls, act: Callable[..., Any]
) -> None:
    over = a_call(status=CallStatus.ENDED)
    calls.add(over)
    answer = act(client, over)
    assert (answer.status_code, answer.json["message"]) == (409, "The call is over: it is ended.")
    assert act(client, a_call()).status_code == 404


def test_a_custom_websocket_is_moved_and_not_transferred(client: FlaskClient, calls: Calls) -> None:
    session = a_call(provider=WEBSOCKET, connector_id=None, status=CallStatus.ANSWERED)
    calls.add(session)
    assert move(client, session).status_code == 200
    answer = transfer(client, session)
    assert (answer.status_code, "not a phone call" in answer.json["message"]) == (409, True)


@pytest.mark.parametrize(
    ("act", "body", "sentence"),
    [
        (move, {"roomId": ""}, "roomId must be 1 to 128 characters"),
        (move, {"roomId": None}, "roomId must not be null."),
        (move, {"participantId": "a b"}, "participantId must be 1 to 128 characters"),
        (transfer, {"transferTo": None}, "transferTo must not be null."),
        (transfer, {"transferTo": "sip:ann@example.com"}, f"transferTo {E164}"),
        (transfer, {"transferTo": "911"}, f"transferTo {E164}"),
        (transfer, {"transferTo": "+1415555010099999"}, f"transferTo {E164}"),
        (transfer, {"transferTo": 442071838750}, "transferTo must be a string."),
    ],
)
def test_a_wrong_field_is_named(
    client: FlaskClient, call: Call, act: Callable[..., Any], body: dict, sentence: str
) -> None:
    answer = act(client, call, **body)
    assert answer.status_code == 400
    assert answer.json["message"].startswith(sentence)


def test_room_token_moves_no_calls_between_rooms(
    app: Flask, authorised: Callable[..., FlaskClient], call: Call, calls: Calls
) -> None:
    here = authorised(app, roomId=call.room_id)
    there = authorised(app, roomId="room-2")
    for client in (here, there):
        assert move(client, call).status_code == 403
    assert calls.get(call.id) == call
    assert move(here, call, roomId=call.room_id, participantId="zoe").status_code == 200
    for client in (here, there):
        assert transfer(client, call).status_code == 403
    assert calls.get(call.id).transfer is None


def test_tied_token_dials_only_with_the_setting(
    sqlite_database: Database,
    clock: FakeClock,
    authorised: Callable[..., FlaskClient],
    call: Call,
    calls: Calls,
) -> None:
    app = build(sqlite_database, clock, dial_tied_tokens=True)
    assert transfer(authorised(app, roomId="room-2"), call).status_code == 403
    joining = authorised(app, roomId=call.room_id, permissions=["allow_join"])
    assert transfer(joining, call).status_code == 403
    assert calls.get(call.id).transfer is None
    assert transfer(authorised(app, roomId=call.room_id), call).status_code == 200


def test_forbidden_number_is_refused_with_a_reason(
    sqlite_database: Database,
    clock: FakeClock,
    authorised: Callable[..., FlaskClient],
    call: Call,
    calls: Calls,
    connector: Connector,
) -> None:
    client = authorised(build(sqlite_database, clock, dial_allowed=("+1*", "!+1900*")))
    sentences = {
        "+442071838750": "DIAL_ALLOWED has no prefix that fits +442071838750.",
        "+1 (900) 555-0100": "DIAL_ALLOWED excludes +19005550100.",
    }
    for number, sentence in sentences.items():
        for answer in (transfer(client, call, transferTo=number), place(client, sipCallTo=number)):
            assert (answer.status_code, answer.json["message"]) == (403, sentence)
    assert calls.get(call.id).transfer is None
    assert calls.page().total == 1


def test_setting_limits_dialled_numbers_per_day(
    sqlite_database: Database,
    clock: FakeClock,
    authorised: Callable[..., FlaskClient],
    call: Call,
    connector: Connector,
) -> None:
    client = authorised(build(sqlite_database, clock, dial_per_day=1))
    # The provider cannot be reached, and might have dialled all the same.
    assert place(client, destinationRoomId="r1").status_code == 502
    for answer in (transfer(client, call), place(client, destinationRoomId="r1")):
        assert answer.status_code == 403
        assert answer.json["message"].startswith("DIAL_PER_DAY is 1, ")


def test_participant_token_cannot_take_another_participant_id(
    app: Flask, authorised: Callable[..., FlaskClient], call: Call
) -> None:
    own = authorised(app, participantId="p1")
    assert move(own, call, participantId="zoe").status_code == 403
    assert move(authorised(app, participantId="zoe"), call).status_code == 403
    assert move(own, call).status_code == 200


def place(client: FlaskClient, **body: Any) -> Any:
    wanted = {"sipCallTo": "+442071838750", "sipCallFrom": "+14155550199", **body}
    return client.post("/v2/sip/call", json=wanted)


def test_placing_without_credentials_is_refused_with_a_reason(
    client: FlaskClient, app: Flask
) -> None:
    connector = a_connector()
    services_of(app).stores.connectors.add(connector)
    answer = place(client, connectorId=connector.id)
    assert answer.status_code == 400
    assert answer.json["message"] == (
        f"Connector {connector.id} cannot place calls: it lacks the credentials "
        "accountSid, authToken."
    )
    assert place(client).status_code == 400
    assert place(client, connectorId="cn_none").status_code == 404
    assert place(client, routingRuleId="rr_none").status_code == 404


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"sipCallTo": None}, "sipCallTo must not be null."),
        ({"sipCallTo": "4711"}, f"sipCallTo {E164}"),
        ({"sipCallFrom": "client:ann"}, f"sipCallFrom {E164}"),
        ({"ringingTimeout": 4}, "ringingTimeout must be a whole number from 5 to 120."),
        ({"ringingTimeout": "30"}, "ringingTimeout must be a whole number from 5 to 120."),
        ({"ringingTimeout": True}, "ringingTimeout must be a whole number from 5 to 120."),
        ({"maxCallDuration": 0}, "maxCallDuration must be a whole number from 1 to 86400."),
        ({"maxCallDuration": 1.5}, "maxCallDuration must be a whole number from 1 to 86400."),
        ({"waitUntilAnswered": "yes"}, "waitUntilAnswered must be true or false."),
        ({"participant": []}, "participant must be a JSON object."),
        ({"participant": {"id": " "}}, "participant.id must be 1 to 128 characters"),
        ({"metadata": "text"}, "metadata must be a JSON object."),
    ],
)
def test_a_wrong_field_of_a_call_to_place_is_named(
    client: FlaskClient, connector: Connector, body: dict, sentence: str
) -> None:
    answer = place(client, **body)
    assert answer.status_code == 400
    assert answer.json["message"].startswith(sentence)


def test_room_token_places_calls_into_its_room_only(
    sqlite_database: Database,
    clock: FakeClock,
    authorised: Callable[..., FlaskClient],
    connector: Connector,
    calls: Calls,
) -> None:
    app = build(sqlite_database, clock, dial_tied_tokens=True)
    assert place(authorised(app, roomId="room-9")).status_code == 403
    assert place(authorised(app, roomId="room-9"), destinationRoomId="r1").status_code == 403
    assert place(authorised(app, participantId="p1")).status_code == 403
    assert calls.page().total == 0


def test_a_tied_token_neither_sees_nor_finds_a_hidden_number(
    app: Flask, authorised: Callable[..., FlaskClient], client: FlaskClient, calls: Calls
) -> None:
    said = "Twilio error 21211: +442071838750 (442071838750) is no number."
    placed = {"callee": "+442071838750", "direction": Direction.OUTBOUND}
    for call in (
        a_call(id="c1", hides_number=True, caller="+442071838750", room_id="r1"),
        a_call(id="c2", hides_number=True, room_id="r1", **placed),
        a_call(id="c3", room_id="r1", **placed),
    ):
        calls.add(call)
        services_of(app).stores.steering.note(call.id, said, 5)
    here = authorised(app, roomId="r1")

    def found(by: FlaskClient, search: str) -> list[str]:
        return [c["id"] for c in by.get(f"/v2/sip/call?search={search}").json["data"]]

    assert found(client, "2071838") == ["c3", "c2", "c1"]
    assert found(here, "2071838") == ["c3"]
    assert found(here, "5550123") == ["c1"]
    assert found(here, "5559876") == ["c3", "c2"]
    for call_id, hidden in (("c1", "from"), ("c2", "to"), ("c3", None)):
        everything = client.get(f"/v2/sip/call/{call_id}").json["data"]
        shown = here.get(f"/v2/sip/call/{call_id}").json["data"]
        assert said == everything["timelog"][-1]["detail"]
        if hidden is None:
            assert shown == everything
            continue
        spelled = f"sipCall{hidden.title()}"
        assert {shown[hidden], shown[spelled]} == {"***50"}
        assert "2071838" not in str(shown)
        assert "2071838" in everything[hidden]


@pytest.fixture
def several(calls: Calls, app: Flask) -> None:
    """Calls c1 to c4, of which c4 is on its way to a number and c3 was placed."""
    day = 86_400_000
    for number, changes in enumerate(
        (
            {"caller": "+442071838750", "rule_id": "rr_1"},
            {"room_id": "sales_room", "started_at": day + 5},
            {"direction": Direction.OUTBOUND, "started_at": 2 * day - 1},
            {"status": CallStatus.ANSWERED, "started_at": 2 * day},
        ),
        start=1,
    ):
        calls.add(a_call(id=f"c{number}", **changes))
    services_of(app).stores.steering.begin_transfer("c4", "+14155550123", 1, 10)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("id=c2", "c2"),
        ("ruleId=rr_1", "c1"),
        ("type=inbound", "c4 c2 c1"),
        ("type=outbound", "c3"),
        ("search=2071838", "c1"),
        ("search=SALES", "c2"),
        ("search=s_r", "c2"),
        ("search=s%25r", ""),
        ("search=%2B4420", "c1"),
        ("startDate=86400005", "c4 c3 c2"),
        ("endDate=86400000", "c3 c2 c1"),
        ("endDate=172799999", "c3 c2 c1"),
        ("startDate=86400006&endDate=86400007", "c3"),
        ("status=transfer-initiated", "c4"),
        ("status=answered", "c4"),
        ("status=switch-room-completed", ""),
        ("status=missed", ""),
    ],
)
def test_calls_are_found_by_their_fields(
    client: FlaskClient, several: None, query: str, found: str
) -> None:
    answer = client.get(f"/v2/sip/call?{query}")
    assert [each["id"] for each in answer.json["data"]] == found.split()
    assert "warnings" not in answer.json


def test_gateway_is_ignored_with_a_warning(client: FlaskClient, several: None) -> None:
    answer = client.get("/v2/sip/call?gatewayId=g1")
    assert answer.json["pageInfo"]["total"] == 4
    assert answer.json["warnings"] == [
        "gatewayId was ignored: calls come through connectors here, and not through gateways."
    ]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("type=both", "type must be one of inbound, outbound."),
        ("startDate=today", "startDate must be a time in milliseconds since 1970."),
        ("endDate=-1", "endDate must be a time in milliseconds since 1970."),
        ("endDate=" + "9" * 16, "endDate must be a time in milliseconds since 1970."),
        ("endDate=" + "9" * 15, "endDate must be a time before the year 10000."),
        ("search=" + "x" * 129, "search must be at most 128 characters long."),
    ],
)
def test_a_wrong_filter_of_the_list_is_named(
    client: FlaskClient, query: str, sentence: str
) -> None:
    answer = client.get(f"/v2/sip/call?{query}")
    assert (answer.status_code, answer.json["message"]) == (400, sentence)


def hook(app: Flask, connector: Connector, what: str, **request: Any) -> Any:
    path = f"/v2/hooks/{connector.provider}/{connector.webhook_key}/{what}"
    return app.test_client().post(path, **request)


def test_status_callback_is_answered_with_204(app: Flask, open_connector: Connector) -> None:
    form = {"CallSid": "CA1", "CallStatus": "completed"}
    for answer in (
        hook(app, open_connector, "status", data=form),
        hook(app, open_connector, "status", query_string=form),
        hook(
            app, open_connector, "status", json={**form, "More": {"a": 1}, "Number": 7, "Nil": None}
        ),
    ):
        assert (answer.status_code, answer.data) == (204, b"")
    assert hook(app, open_connector, "status", data={}).status_code == 400
    broken = hook(app, open_connector, "status", data="{", content_type="application/json")
    assert broken.status_code == 400


def test_a_callback_needs_the_key(app: Flask, open_connector: Connector) -> None:
    for what in ("status", "dial"):
        path = f"/v2/hooks/twilio/whk_none/{what}"
        assert app.test_client().post(path, data={"CallSid": "CA1"}).status_code == 404


def test_a_status_callback_ends_its_call(
    app: Flask, open_connector: Connector, calls: Calls, client: FlaskClient
) -> None:
    call = a_call(
        connector_id=open_connector.id, provider_call_id="CA1", status=CallStatus.ANSWERED
    )
    calls.add(call)
    hook(app, open_connector, "status", json={"CallSid": "CA1", "CallStatus": "completed"})
    assert calls.get(call.id).status is CallStatus.ENDED


def test_a_dial_is_answered_with_markup(
    app: Flask, open_connector: Connector, calls: Calls, client: FlaskClient
) -> None:
    call = a_call(
        connector_id=open_connector.id, provider_call_id="CA1", status=CallStatus.ANSWERED
    )
    calls.add(call)
    transfer(client, call)
    form = {"CallSid": "CA1", "CallStatus": "in-progress", "DialCallStatus": "busy"}
    answer = hook(app, open_connector, "dial", data=form)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert "<Stream" in answer.text
    assert "/status" in answer.text


def test_every_hook_is_checked_where_the_connector_has_the_secret(
    app: Flask, connector: Connector
) -> None:
    secret = connector.credentials["authToken"][0]
    form = {"CallSid": "CA1", "AccountSid": "AC1", "CallStatus": "in-progress"}
    for what, status in (("status", 204), ("dial", 200)):
        unsigned = hook(app, connector, what, data=form)
        assert (unsigned.status_code, unsigned.data) == (403, b"")
        path = f"/v2/hooks/twilio/{connector.webhook_key}/{what}?placed=c1"
        signed = signers.twilio(secret, f"https://voice.example.com{path}", tuple(form.items()))
        assert app.test_client().post(path, data=form, headers=signed).status_code == status
        moved = path.replace("c1", "c2")
        assert app.test_client().post(moved, data=form, headers=signed).status_code == 403


def test_internal_failure_is_not_reported_as_the_provider_s(
    app: Flask, open_connector: Connector, sqlite_database: Database
) -> None:
    over = {"CallSid": "CA1", "CallStatus": "completed"}
    with missing_table(sqlite_database, "calls"):
        answer = hook(app, open_connector, "dial", data=over)
    assert answer.status_code == 200
    assert "<Reject" in answer.text


def test_callback_without_content_looks_up_no_call(
    app: Flask, open_connector: Connector, sqlite_database: Database
) -> None:
    with missing_table(sqlite_database, "calls"):
        for fields in ({"CallStatus": "in-progress"}, {"StreamEvent": "stream-started"}):
            answer = hook(app, open_connector, "status", data={"CallSid": "CA1", **fields})
            assert answer.status_code == 204


def test_placed_call_may_hide_its_number_and_keys(
    app: Flask, client: FlaskClient, connector: Connector, calls: Calls
) -> None:
    ids = {"connectorId": connector.id}
    assert place(client, **ids, hidePhoneNumber=True, dtmf=False).status_code == 502
    assert place(client, **ids, dtmf="12#").status_code == 502
    plain, quiet = calls.page().items
    assert (quiet.hides_number, quiet.dtmf, quiet.participant.name) == (True, False, "***50")
    assert (plain.hides_number, plain.dtmf, plain.participant.name) == (False, True, plain.callee)
    assert place(client, **ids, hidePhoneNumber="yes").status_code == 400


def test_number_may_have_spaces_and_punctuation(client: FlaskClient, call: Call) -> None:
    answer = transfer(client, call, transferTo="+44 20 7183-8750\u202c")
    assert answer.json["data"]["transfer"]["to"] == "+442071838750"


def test_call_cannot_move_into_a_closed_room(app: Flask, client: FlaskClient, call: Call) -> None:
    rooms = services_of(app).stores.rooms
    rooms.deactivate(rooms.ensure("room-2", 1).id, 2)
    answer = move(client, call)
    assert (answer.status_code, answer.json["message"]) == (
        403,
        "This room is deactivated: nobody can join it.",
    )
