"""The delivery endpoints: the object, permissions and redelivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.webhooks import DeliveryStatus, room_receiver
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.web.services import services_of
from tests.support import deliveries
from tests.support.clocks import FakeClock
from tests.support.deliveries import a_delivery
from tests.support.records import a_subscription

NUMBER = "+14155550100"
PENDING = {
    "id": "d1",
    "event": "call-started",
    "status": "pending",
    "attempts": 0,
    "createdAt": "2026-06-21T14:30:45.123Z",
    "lastAttemptAt": None,
    "nextAttemptAt": "2026-06-21T14:30:45.123Z",
    "responseStatus": None,
    "error": None,
}


@pytest.fixture
def write(sqlite_database: Database, clock: FakeClock) -> Callable[..., None]:
    """A function that writes a delivery for a receiver, as an event does."""

    def make(receiver: str, delivery_id: str, **changes: Any) -> None:
        event = {"id": delivery_id, "body": f'{{"from":"{NUMBER}"}}', **changes}
        deliveries.write(sqlite_database, a_delivery(0, receiver, clock.now(), **event))

    return make


@pytest.fixture
def webhook_id(app: Flask) -> str:
    subscription = a_subscription()
    services_of(app).stores.subscriptions.add(subscription)
    return subscription.id


@pytest.fixture
def room_id(client: FlaskClient) -> str:
    room = client.post("/v2/rooms", json={"customRoomId": "c/1"}).json
    return str(room["roomId"])


def test_delivery_is_answered_without_its_body(
    client: FlaskClient, write: Callable[..., None], webhook_id: str
) -> None:
    write(webhook_id, "d1")
    response = client.get(f"/v2/sip/webhooks/{webhook_id}/deliveries")
    assert response.status_code == 200
    assert response.json == {"data": [PENDING]}
    assert NUMBER not in response.text


def test_delivery_has_its_result(
    client: FlaskClient, clock: FakeClock, write: Callable[..., None], webhook_id: str
) -> None:
    over = {
        "status": DeliveryStatus.DEAD,
        "attempts": 14,
        "due_at": None,
        "expires_at": None,
        "tried_at": clock.now() + 86_400_000,
        "answer": 503,
        "error": "It answered 503.",
    }
    write(webhook_id, "d1", **over)
    assert client.get(f"/v2/sip/webhooks/{webhook_id}/deliveries").json["data"] == [
        {
            **PENDING,
            "status": "dead",
            "attempts": 14,
            "lastAttemptAt": "2026-06-22T14:30:45.123Z",
            "nextAttemptAt": None,
            "responseStatus": 503,
            "error": "It answered 503.",
        }
    ]


def test_last_hundred_deliveries_are_listed_newest_first(
    client: FlaskClient, write: Callable[..., None], webhook_id: str
) -> None:
    for number in range(102):
        write(webhook_id, f"d{number}")
    write("wh_other", "other")
    write(room_receiver(webhook_id), "room's")
    listed = client.get(f"/v2/sip/webhooks/{webhook_id}/deliveries").json["data"]
    assert [each["id"] for each in listed] == [f"d{number}" for number in range(101, 1, -1)]


def test_a_delivery_is_sent_again_at_once(
    client: FlaskClient,
    clock: FakeClock,
    sqlite_database: Database,
    write: Callable[..., None],
    webhook_id: str,
) -> None:
    write(webhook_id, "d1", status=DeliveryStatus.DEAD, due_at=None, expires_at=None)
    sqlite_database.signals[ChangeSignal.OUTBOX].clear()
    clock.advance(1)
    address = f"/v2/sip/webhooks/{webhook_id}/deliveries"
    response = client.post(f"{address}/d1/redeliver")
    assert response.status_code == 200
    again = response.json["data"]
    assert (again["id"], again["status"]) == ("d1", "pending")
    assert again["nextAttemptAt"] == "2026-06-21T14:30:46.123Z"
    assert client.get(address).json["data"] == [again]
    assert sqlite_database.signals[ChangeSignal.OUTBOX].is_set()


def test_deliveries_of_another_webhook_are_404(
    client: FlaskClient, write: Callable[..., None], webhook_id: str, room_id: str
) -> None:
    write("wh_other", "d1")
    write(room_receiver(room_id), "d2")
    for address in (
        f"/v2/sip/webhooks/{webhook_id}/deliveries/d1/redeliver",
        f"/v2/sip/webhooks/{webhook_id}/deliveries/d2/redeliver",
        f"/v2/sip/webhooks/{webhook_id}/deliveries/none/redeliver",
        f"/v2/rooms/{room_id}/webhook/deliveries/d1/redeliver",
        f"/v2/rooms/{room_id}/webhook/deliveries/none/redeliver",
    ):
        assert client.post(address).status_code == 404


def test_deliveries_of_an_unknown_webhook_are_404(
    client: FlaskClient, write: Callable[..., None], webhook_id: str
) -> None:
    write(webhook_id, "d1")
    address = f"/v2/sip/webhooks/{webhook_id}"
    client.delete(address)
    for response in (
        client.get(f"{address}/deliveries"),
        client.post(f"{address}/deliveries/d1/redeliver"),
        client.get("/v2/sip/webhooks/wh_none/deliveries"),
    ):
        assert response.status_code == 404
        assert response.json["message"] == "Webhook not found"


def test_deliveries_of_a_room_are_found_by_each_of_its_names(
    client: FlaskClient, write: Callable[..., None], room_id: str
) -> None:
    write(room_receiver(room_id), "d1")
    for name in (room_id, "c%2F1", "c/1"):
        address = f"/v2/rooms/{name}/webhook/deliveries"
        assert client.get(address).json == {"data": [PENDING]}
        response = client.post(f"{address}/d1/redeliver")
        assert (response.status_code, response.json) == (200, {"data": PENDING})
    for response in (
        client.get("/v2/rooms/nobody/webhook/deliveries"),
        client.post("/v2/rooms/nobody/webhook/deliveries/d1/redeliver"),
    ):
        assert (response.status_code, response.json["message"]) == (404, "Room not found.")


def test_address_below_a_room_is_not_a_longer_room_name(client: FlaskClient, room_id: str) -> None:
    address = f"/v2/rooms/{room_id}/webhook/deliveries"
    assert client.post(address, json={"status": "disabled"}).status_code == 405
    assert client.get(f"{address}/d1/redeliver").status_code == 405


def test_a_room_token_reaches_its_own_room_s_deliveries_only(
    app: Flask, authorised: Callable[..., FlaskClient], write: Callable[..., None], room_id: str
) -> None:
    write(room_receiver(room_id), "d1")
    for claims, status in (
        ({"roomId": room_id}, 200),
        ({"roomId": "other"}, 403),
        ({"participantId": "ann"}, 403),
    ):
        client = authorised(app, **claims)
        address = f"/v2/rooms/{room_id}/webhook/deliveries"
        assert client.get(address).status_code == status
        assert client.post(f"{address}/d1/redeliver").status_code == status
