"""The call endpoints: the object in both spellings, filters, pages, scopes and ending."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, LadderStep, Participant
from service.domain.ids import digest
from service.storage import listing
from service.storage.calls.calls import Calls
from service.storage.database import Database
from service.web.services import services_of
from tests.support.clocks import FakeClock
from tests.support.records import a_call

STATUSES = ", ".join(CallStatus)
FROM_ONE = "must be a whole number from 1."
TO_HUNDRED = "must be a whole number from 1 to 100."
IDENTIFIER = "must be 1 to 128 characters without white space or control characters."


@pytest.fixture
def calls(app: Flask) -> Calls:
    stored: Calls = services_of(app).stores.calls
    return stored


@pytest.fixture
def arrive(calls: Calls, clock: FakeClock) -> Callable[..., Call]:
    """A function that lets a phone call arrive, and answers it when told a session."""

    def make(
        number: int, room_id: str = "r1", session_id: str | None = None, connector_id: str = "cn_1"
    ) -> Call:
        at = clock.now()
        call = Call(
            id=f"call-{number}",
            provider="twilio",
            provider_call_id=f"CA{number}",
            connector_id=connector_id,
            room_id=room_id,
            rule_id=None,
            session_id=None,
            caller="+14155559876",
            callee="+14155550123",
            status=CallStatus.INCOMING,
            participant=Participant(f"p{number}", "Caller", {"plan": "gold"}),
            region="us002",
            started_at=at,
            expires_at=at + 90_000,
            steps=(LadderStep(LadderEvent.WEBHOOK, at, CallStatus.INCOMING, "from twilio"),),
        )
        assert calls.admit(call, digest(f"ref-{number}"), 100)
        clock.advance(0.878)
        if session_id is not None:
            calls.claim(digest(f"ref-{number}"), "twilio", "leg", clock.now())
            assert calls.answered(call.id, "leg", session_id, clock.now())
        return calls.get(call.id)

    return make


def ids(response: Any) -> list[str]:
    return [call["id"] for call in response.json["data"]]


def test_a_call_has_both_spellings_and_its_ladder(
    client: FlaskClient, arrive: Callable[..., Call]
) -> None:
    arrive(1, "abcd-efgh-ijkl", "621497578bea0d0404c35c4c")
    response = client.get("/v2/sip/call/call-1")
    assert response.status_code == 200
    assert response.data == orjson.dumps(
        {
            "statusCode": 200,
            "data": {
                "id": "call-1",
                "callId": "call-1",
                "type": "inbound",
                "provider": "twilio",
                "transport": "websocket",
                "gatewayId": None,
                "ruleId": None,
                "roomId": "abcd-efgh-ijkl",
                "sessionId": "621497578bea0d0404c35c4c",
                "to": "+14155550123",
                "from": "+14155559876",
                "sipCallTo": "+14155550123",
                "sipCallFrom": "+14155559876",
                "status": "answered",
                "metadata": {},
                "start": "2026-06-21T14:30:45.123Z",
                "end": None,
                "timelog": [
                    {
                        "status": "incoming",
                        "timestamp": "2026-06-21T14:30:45.123Z",
                        "event": "webhook",
                        "detail": "from twilio",
                    },
                    {
                        "status": "incoming",
                        "timestamp": "2026-06-21T14:30:46.001Z",
                        "event": "socket",
                    },
                    {
                        "status": "answered",
                        "timestamp": "2026-06-21T14:30:46.001Z",
                        "event": "start",
                    },
                ],
                "region": "us002",
                "additionalDetails": None,
                "endReason": None,
                "stats": None,
                "participantId": "p1",
                "connectorId": "cn_1",
                "transfer": None,
            },
        }
    )


def test_the_list_holds_the_same_object_newest_first(
    client: FlaskClient, arrive: Callable[..., Call]
) -> None:
    for number in (1, 2):
        arrive(number)
    single = [client.get(f"/v2/sip/call/call-{number}").json["data"] for number in (2, 1)]
    response = client.get("/v2/sip/call")
    assert response.status_code == 200
    assert response.data == orjson.dumps(
        {
            "statusCode": 200,
            "pageInfo": {"currentPage": 1, "perPage": 10, "lastPage": 1, "total": 2},
            "data": single,
        }
    )


def test_an_empty_list_has_one_page(client: FlaskClient) -> None:
    assert client.get("/v2/sip/call").json == {
        "statusCode": 200,
        "pageInfo": {"currentPage": 1, "perPage": 10, "lastPage": 1, "total": 0},
        "data": [],
    }


@pytest.mark.parametrize(
    ("query", "info", "found"),
    [
        ("", (1, 10, 2, 12), [f"call-{n}" for n in range(12, 2, -1)]),
        ("page=2", (2, 10, 2, 12), ["call-2", "call-1"]),
        ("page=3", (3, 10, 2, 12), []),
        ("perPage=5&page=3", (3, 5, 3, 12), ["call-2", "call-1"]),
        ("perPage=100", (1, 100, 1, 12), [f"call-{n}" for n in range(12, 0, -1)]),
        ("page=999999999&perPage=100", (999_999_999, 100, 1, 12), []),
    ],
)
def test_pages_count_from_one(
    client: FlaskClient,
    arrive: Callable[..., Call],
    query: str,
    info: tuple[int, ...],
    found: list[str],
) -> None:
    for number in range(1, 13):
        arrive(number)
    response = client.get(f"/v2/sip/call?{query}")
    assert tuple(response.json["pageInfo"].values()) == info
    assert ids(response) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("roomId=r1", ["call-3", "call-1"]),
        ("roomId=r9", []),
        ("sessionId=s2", ["call-2"]),
        ("status=incoming", ["call-3"]),
        ("status=answered", ["call-2", "call-1"]),
        ("status=ended", []),
        ("status=answered&roomId=r1", ["call-1"]),
        ("roomId=r1&sessionId=s2", []),
        ("connectorId=cn_1", ["call-2", "call-1"]),
        ("connectorId=cn_2&type=inbound", ["call-3"]),
        ("connectorId=cn_9", []),
        ("search=", ["call-3", "call-2", "call-1"]),
        ("search=&status=transferred&roomId=r1", []),
        ("search=&roomId=r1", ["call-3", "call-1"]),
        ("search=%2B1%20(415)%20555-9876%E2%80%AC", ["call-3", "call-2", "call-1"]),
        ("search=0014155559876", ["call-3", "call-2", "call-1"]),
    ],
)
def test_filters_narrow_the_list(
    client: FlaskClient, arrive: Callable[..., Call], query: str, found: list[str]
) -> None:
    arrive(1, "r1", "s1")
    arrive(2, "r2", "s2")
    arrive(3, "r1", connector_id="cn_2")
    response = client.get(f"/v2/sip/call?{query}")
    assert ids(response) == found
    assert response.json["pageInfo"]["total"] == len(found)


@pytest.mark.parametrize(
    ("query", "name", "predicate"),
    [
        *[("page=" + bad, "page", FROM_ONE) for bad in ("0", "-1", "", "x", "1.0", "1e3", "+1")],
        *[("page=" + bad, "page", FROM_ONE) for bad in ("1_0", "%D9%A1", "%C2%B2", "1" * 5000)],
        ("page=%201", "page", FROM_ONE),
        ("page=null", "page", FROM_ONE),
        ("perPage=0", "perPage", TO_HUNDRED),
        ("perPage=101", "perPage", TO_HUNDRED),
        ("perPage=many", "perPage", FROM_ONE),
        ("status=gone", "status", f"must be one of {STATUSES}."),
        ("status=ANSWERED", "status", f"must be one of {STATUSES}."),
        ("status=", "status", f"must be one of {STATUSES}."),
        ("roomId=", "roomId", IDENTIFIER),
        ("roomId=a%00b", "roomId", IDENTIFIER),
        ("roomId=" + "r" * 129, "roomId", IDENTIFIER),
        ("sessionId=a%20b", "sessionId", IDENTIFIER),
    ],
)
def test_a_wrong_filter_is_400_and_named(
    client: FlaskClient, query: str, name: str, predicate: str
) -> None:
    response = client.get(f"/v2/sip/call?{query}")
    assert response.status_code == 400
    sentence = f"{name} {predicate}"
    assert response.json == {"message": sentence, "statusCode": 400, "errors": {name: [sentence]}}


def test_a_call_that_is_up_shows_its_live_statistics(
    client: FlaskClient, engine: Any, arrive: Callable[..., Call]
) -> None:
    arrive(1, "r1", "s1")
    arrive(2)
    engine.live["call-1"] = {"framesIn": 50, "jitterMs": 1.5}
    assert client.get("/v2/sip/call/call-1").json["data"]["stats"] == {
        "framesIn": 50,
        "jitterMs": 1.5,
    }
    listed = client.get("/v2/sip/call").json["data"]
    assert [call["stats"] for call in listed] == [None, {"framesIn": 50, "jitterMs": 1.5}]


def test_a_call_that_is_over_shows_its_stored_statistics_and_why(
    client: FlaskClient, calls: Calls, clock: FakeClock, arrive: Callable[..., Call]
) -> None:
    arrive(1, "r1", "s1")
    clock.advance(10)
    calls.end("call-1", EndReason.CALLER_HUNG_UP, clock.now(), stats={"framesIn": 500})
    data = client.get("/v2/sip/call/call-1").json["data"]
    assert data["status"] == "ended"
    assert data["end"] == "2026-06-21T14:30:56.001Z"
    assert data["endReason"] == "caller-hung-up"
    assert data["stats"] == {"framesIn": 500}
    assert data["timelog"][-1]["event"] == "end"


def test_end_answers_with_the_ended_call(client: FlaskClient, arrive: Callable[..., Call]) -> None:
    arrive(1, "r1", "s1")
    response = client.post("/v2/sip/call/end", json={"callId": "call-1"})
    assert response.status_code == 200
    assert list(response.json) == ["message", "statusCode", "data"]
    assert response.json["message"] == "Call ended successfully"
    assert response.json["statusCode"] == 200
    assert response.json["data"]["status"] == "ended"
    assert response.json["data"]["endReason"] == "ended-by-api"
    assert response.json["data"] == client.get("/v2/sip/call/call-1").json["data"]


def test_ending_twice_answers_the_same(
    client: FlaskClient, clock: FakeClock, arrive: Callable[..., Call]
) -> None:
    arrive(1, "r1", "s1")
    first = client.post("/v2/sip/call/end", json={"callId": "call-1"})
    clock.advance(60)
    second = client.post("/v2/sip/call/end", json={"callId": "call-1"})
    assert (second.status_code, second.data) == (200, first.data)


@pytest.mark.parametrize(
    ("body", "predicate"),
    [
        (None, "is required."),
        ({}, "is required."),
        ({"id": "call-1"}, "is required."),
        ({"callId": None}, "must not be null."),
        ({"callId": 1}, "must be a string."),
        ({"callId": ["call-1"]}, "must be a string."),
        ({"callId": ""}, IDENTIFIER),
        ({"callId": "call 1"}, IDENTIFIER),
        ({"callId": "call-1\x00"}, IDENTIFIER),
        ({"callId": "c" * 129}, IDENTIFIER),
    ],
)
def test_end_refuses_a_wrong_call_id(
    client: FlaskClient, body: dict[str, object] | None, predicate: str
) -> None:
    response = client.post("/v2/sip/call/end", json=body)
    assert response.status_code == 400
    assert response.json["message"] == f"callId {predicate}"
    assert response.json["errors"] == {"callId": [f"callId {predicate}"]}


def test_incomplete_total_is_marked(
    client: FlaskClient, arrive: Callable[..., Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COUNTED", 2)
    for number in range(1, 5):
        arrive(number, "r1")
    first = client.get("/v2/sip/call?perPage=2").json["pageInfo"]
    assert first == {
        "currentPage": 1,
        "perPage": 2,
        "lastPage": 2,
        "total": 3,
        "totalIsMinimum": True,
    }
    last = client.get("/v2/sip/call?perPage=2&page=2").json["pageInfo"]
    assert last == {"currentPage": 2, "perPage": 2, "lastPage": 2, "total": 4}


@pytest.mark.parametrize("path", ["/v2/sip/call?search=1", "/v2/sessions", "/v2/rooms"])
def test_list_beyond_the_limit_of_searches_is_503_with_a_reason(
    client: FlaskClient, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(listing, "SLOT_SECONDS", 0.01)
    with ExitStack() as lists:
        for _ in range(listing.AT_ONCE):
            lists.enter_context(sqlite_database.listing())
        response = client.get(path)
        assert client.get("/v2/sip/call/nobody").status_code == 404
    assert response.status_code == 503
    assert response.json["message"] == listing.CROWDED
    assert "Retry-After" in response.headers
    assert client.get(path).status_code == 200


def test_ended_call_is_deleted(client: FlaskClient, arrive: Callable[..., Call]) -> None:
    call = arrive(1, "abcd-efgh-ijkl", "s1")
    refused = client.delete(f"/v2/sip/call/{call.id}")
    assert refused.status_code == 409
    assert refused.json["message"] == "The call is answered; end it before it is deleted."
    client.post("/v2/sip/call/end", json={"callId": call.id})
    assert client.delete(f"/v2/sip/call/{call.id}").json == {
        "message": "Call deleted successfully",
        "statusCode": 200,
    }
    for method in (client.get, client.delete):
        assert method(f"/v2/sip/call/{call.id}").status_code == 404
    assert ids(client.get("/v2/sip/call")) == []


def test_tied_token_deletes_nothing(
    app: Flask,
    client: FlaskClient,
    authorised: Callable[..., FlaskClient],
    arrive: Callable[..., Call],
) -> None:
    call = arrive(1, "abcd-efgh-ijkl", "s1")
    client.post("/v2/sip/call/end", json={"callId": call.id})
    narrow = authorised(app, roomId="abcd-efgh-ijkl")
    assert narrow.delete(f"/v2/sip/call/{call.id}").status_code == 403
    assert client.get(f"/v2/sip/call/{call.id}").status_code == 200


def test_an_unknown_call_is_404(client: FlaskClient) -> None:
    for response in (
        client.get("/v2/sip/call/nobody"),
        client.post("/v2/sip/call/end", json={"callId": "nobody"}),
    ):
        assert response.status_code == 404
        assert response.json == {"message": "Call not found", "statusCode": 404}


def test_a_room_token_lists_that_room_only(
    app: Flask, authorised: Callable[..., FlaskClient], arrive: Callable[..., Call]
) -> None:
    arrive(1, "r1")
    arrive(2, "r2")
    client = authorised(app, roomId="r1")
    assert ids(client.get("/v2/sip/call")) == ["call-1"]
    assert ids(client.get("/v2/sip/call?roomId=r1")) == ["call-1"]
    assert client.get("/v2/sip/call").json["pageInfo"]["total"] == 1
    assert client.get("/v2/sip/call?roomId=r2").status_code == 403


def test_a_participant_token_cannot_list(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    response = authorised(app, participantId="p1").get("/v2/sip/call")
    assert response.status_code == 403
    assert response.json["message"] == (
        "This token is only valid for one participant and cannot list calls."
    )


@pytest.mark.parametrize(
    "claims", [{"roomId": "r1"}, {"participantId": "p1"}, {"roomId": "r1", "participantId": "p1"}]
)
def test_tied_token_reaches_its_own_calls_only(
    app: Flask,
    calls: Calls,
    authorised: Callable[..., FlaskClient],
    arrive: Callable[..., Call],
    claims: dict[str, str],
) -> None:
    arrive(1, "r1")
    arrive(2, "r2")
    client = authorised(app, **claims)
    assert client.get("/v2/sip/call/call-1").status_code == 200
    assert client.get("/v2/sip/call/call-2").status_code == 403
    assert client.post("/v2/sip/call/end", json={"callId": "call-2"}).status_code == 403
    assert calls.get("call-2").status is CallStatus.INCOMING
    assert client.post("/v2/sip/call/end", json={"callId": "call-1"}).status_code == 200


@pytest.mark.parametrize("claims", [{"roomId": "r1"}, {"participantId": "p1"}])
def test_hidden_number_is_visible_to_the_account_only(
    app: Flask, calls: Calls, authorised: Callable[..., FlaskClient], claims: dict[str, str]
) -> None:
    hidden = a_call(room_id="r1", hides_number=True)
    assert calls.admit(hidden, None, 10)
    for client, number in ((authorised(app), hidden.caller), (authorised(app, **claims), "***76")):
        answers = [
            client.get(f"/v2/sip/call/{hidden.id}").json["data"],
            client.post("/v2/sip/call/end", json={"callId": hidden.id}).json["data"],
        ]
        if "participantId" not in claims:
            answers += client.get("/v2/sip/call?roomId=r1").json["data"]
        for answer in answers:
            assert (answer["from"], answer["sipCallFrom"]) == (number, number)
            assert answer["to"] == hidden.callee
