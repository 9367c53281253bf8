"""The connector endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.routing_rules import RuleType
from service.web.services import services_of
from tests.support.clocks import FakeClock
from tests.support.records import a_rule

SAMPLE = {
    "provider": "twilio",
    "name": "Main Twilio Connector",
    "defaultRoomId": "abcd-efgh-ijkl",
    "defaultRuleId": "rule_xyz789",
    "region": "us002",
}

RULE_WARNING = "defaultRuleId names no routing rule, so it was stored as null."

TOO_LONG = "x" * 129
IDENTIFIER = "must be 1 to 128 characters without white space or control characters."
BAD_FIELDS: list[tuple[dict[str, object], str]] = [
    ({"name": 5}, "name must be a string."),
    ({"name": ["a"]}, "name must be a string."),
    ({"name": {"a": 1}}, "name must be a string."),
    ({"name": True}, "name must be a string."),
    ({"name": TOO_LONG}, "name must be at most 128 characters long."),
    ({"name": "a\x00b"}, "name must not contain control characters."),
    ({"name": "a\nb"}, "name must not contain control characters."),
    ({"region": "r" * 33}, "region must be at most 32 characters long."),
    ({"region": 1}, "region must be a string."),
    ({"region": "us\x1b[0m"}, "region must not contain control characters."),
    ({"defaultRoomId": ""}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": "a b"}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": "a\u00a0b"}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": "a\n"}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": "\x00"}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": TOO_LONG}, f"defaultRoomId {IDENTIFIER}"),
    ({"defaultRoomId": 7}, "defaultRoomId must be a string."),
    ({"defaultRuleId": 1.5}, "defaultRuleId must be a string."),
    ({"defaultRuleId": ""}, f"defaultRuleId {IDENTIFIER}"),
]
PROVIDER = "provider must be one of twilio, plivo, telnyx."
BAD_PROVIDERS: list[dict[str, object]] = [
    {},
    {"provider": None},
    {"provider": ""},
    {"provider": "Twilio"},
    {"provider": " twilio"},
    {"provider": "vonage"},
    {"provider": "websocket"},
    {"provider": ["twilio"]},
    {"provider": {"twilio": 1}},
    {"provider": 0},
    {"provider": True},
]


@pytest.fixture
def connector(client: FlaskClient) -> dict[str, str]:
    data: dict[str, str] = client.post("/v2/connectors", json=SAMPLE).json["data"]
    return data


def test_documented_sample_is_created_with_all_members_in_order(client: FlaskClient) -> None:
    response = client.post("/v2/connectors", json=SAMPLE)
    assert response.status_code == 201
    data = response.json["data"]
    assert re.fullmatch(r"cn_[a-z0-9]{16}", data["id"])
    key = data["webhookUrl"].removeprefix("https://voice.example.com/v2/hooks/twilio/")
    assert re.fullmatch(r"whk_[A-Za-z0-9]{32}", key)
    assert response.data == orjson.dumps(
        {
            "message": "Connector created successfully",
            "data": {
                "id": data["id"],
                "provider": "twilio",
                "name": "Main Twilio Connector",
                "webhookUrl": data["webhookUrl"],
                "defaultRoomId": "abcd-efgh-ijkl",
                "defaultRuleId": None,
                "region": "us002",
                "createdAt": "2026-06-21T14:30:45.123Z",
                "credentials": [],
            },
            "warnings": [RULE_WARNING],
        }
    )


def test_the_id_of_an_inbound_rule_is_kept_until_the_rule_is_deleted(
    app: Flask, client: FlaskClient
) -> None:
    rule, outbound = a_rule(), a_rule(type=RuleType.OUTBOUND)
    for each in (rule, outbound):
        services_of(app).stores.routing_rules.add(each)
    answer = client.post("/v2/connectors", json={**SAMPLE, "defaultRuleId": rule.id}).json
    assert answer["data"]["defaultRuleId"] == rule.id
    assert "warnings" not in answer
    path = f"/v2/connectors/{answer['data']['id']}"
    for rule_id, kept, warning in (
        (outbound.id, None, "defaultRuleId names an outbound rule, so it was stored as null."),
        ("rr_none", None, RULE_WARNING),
        (rule.id, rule.id, None),
    ):
        answer = client.patch(path, json={"defaultRuleId": rule_id}).json
        assert answer["data"]["defaultRuleId"] == kept
        assert answer.get("warnings") == ([warning] if warning else None)
    assert client.delete(f"/v2/sip/routing-rule/{rule.id}").status_code == 200
    assert client.get(path).json["data"]["defaultRuleId"] is None


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_absent_fields_are_null_without_a_warning(client: FlaskClient, provider: str) -> None:
    answer = client.post("/v2/connectors", json={"provider": provider}).json
    assert list(answer) == ["message", "data"]
    assert {name for name, value in answer["data"].items() if value is None} == {
        "name",
        "defaultRoomId",
        "defaultRuleId",
        "region",
    }
    assert answer["data"]["provider"] == provider


def test_two_connectors_share_neither_id_nor_key(client: FlaskClient) -> None:
    first = client.post("/v2/connectors", json=SAMPLE).json["data"]
    second = client.post("/v2/connectors", json=SAMPLE).json["data"]
    assert first["id"] != second["id"]
    assert first["webhookUrl"] != second["webhookUrl"]


def test_create_accepts_names_in_any_script(client: FlaskClient) -> None:
    name = "Zürich ☎ 電話"
    data = client.post("/v2/connectors", json={"provider": "plivo", "name": name}).json["data"]
    assert client.get(f"/v2/connectors/{data['id']}").json["data"]["name"] == name


@pytest.mark.parametrize("body", BAD_PROVIDERS)
def test_create_refuses_unknown_providers_and_lists_the_known(
    client: FlaskClient, body: dict[str, object]
) -> None:
    response = client.post("/v2/connectors", json=body)
    assert response.status_code == 400
    assert response.json == {
        "message": PROVIDER,
        "statusCode": 400,
        "errors": {"provider": [PROVIDER]},
    }


def test_create_without_a_body_requires_the_provider(client: FlaskClient) -> None:
    response = client.post("/v2/connectors")
    assert (response.status_code, response.json["message"]) == (400, PROVIDER)


@pytest.mark.parametrize(("fields", "sentence"), BAD_FIELDS)
def test_create_and_update_refuse_a_value_with_the_same_error(
    client: FlaskClient, connector: dict[str, str], fields: dict[str, object], sentence: str
) -> None:
    created = client.post("/v2/connectors", json={"provider": "telnyx", **fields})
    updated = client.patch(f"/v2/connectors/{connector['id']}", json=fields)
    for response in (created, updated):
        assert response.status_code == 400
        (name,) = fields
        assert response.json == {
            "message": sentence,
            "statusCode": 400,
            "errors": {name: [sentence]},
        }
    assert client.get("/v2/connectors").json["data"] == [connector]


def test_every_wrong_field_is_named_and_the_message_is_the_first(client: FlaskClient) -> None:
    body = {"provider": "sms", "name": 1, "region": 2}
    answer = client.post("/v2/connectors", json=body).json
    assert set(answer["errors"]) == {"provider", "name", "region"}
    assert answer["message"] == next(iter(answer["errors"].values()))[0]


def test_unknown_fields_are_ignored_and_named(client: FlaskClient) -> None:
    secret = "never-to-be-repeated"
    response = client.post(
        "/v2/connectors", json={"provider": "twilio", "options": {"authToken": secret}}
    )
    assert response.status_code == 201
    assert response.json["warnings"] == ["Field options is not known and was ignored."]
    assert secret not in response.text


def test_list_is_newest_first(client: FlaskClient, clock: FakeClock) -> None:
    created = []
    for name in ("first", "second", "third"):
        body = {"provider": "twilio", "name": name}
        created.append(client.post("/v2/connectors", json=body).json["data"])
        clock.advance(1)
    response = client.get("/v2/connectors")
    assert response.status_code == 200
    assert response.data == orjson.dumps(
        {"message": "Connectors retrieved successfully", "data": created[::-1]}
    )


def test_list_is_empty_at_first(client: FlaskClient) -> None:
    assert client.get("/v2/connectors").json["data"] == []


def test_get_returns_the_connector_with_its_url(
    client: FlaskClient, connector: dict[str, str]
) -> None:
    response = client.get(f"/v2/connectors/{connector['id']}")
    assert response.status_code == 200
    assert response.data == orjson.dumps(
        {"message": "Connector retrieved successfully", "data": connector}
    )


def test_update_changes_only_the_sent_fields(
    client: FlaskClient, connector: dict[str, str]
) -> None:
    response = client.patch(f"/v2/connectors/{connector['id']}", json={"name": "Renamed"})
    assert response.status_code == 200
    changed = {**connector, "name": "Renamed"}
    assert response.data == orjson.dumps(
        {"message": "Connector updated successfully", "data": changed}
    )
    assert client.get(f"/v2/connectors/{connector['id']}").json["data"] == changed


@pytest.mark.parametrize("field", ["name", "defaultRoomId", "defaultRuleId", "region"])
def test_update_clears_a_field_with_null(
    client: FlaskClient, connector: dict[str, str], field: str
) -> None:
    response = client.patch(f"/v2/connectors/{connector['id']}", json={field: None})
    assert response.json == {
        "message": "Connector updated successfully",
        "data": {**connector, field: None},
    }


def test_update_stores_a_rule_that_does_not_exist_as_null(
    client: FlaskClient, connector: dict[str, str]
) -> None:
    response = client.patch(f"/v2/connectors/{connector['id']}", json={"defaultRuleId": "r1"})
    assert response.status_code == 200
    assert response.json["data"]["defaultRuleId"] is None
    assert response.json["warnings"] == [RULE_WARNING]


@pytest.mark.parametrize("body", [None, {}, {"nonsense": 1}, {"provider": "plivo", "id": "x"}])
def test_update_refuses_a_body_without_an_editable_field(
    client: FlaskClient, connector: dict[str, str], body: dict[str, object] | None
) -> None:
    response = client.patch(f"/v2/connectors/{connector['id']}", json=body)
    assert response.status_code == 400
    assert response.json == {"message": "No editable fields provided", "statusCode": 400}


def test_update_names_ignored_fields(client: FlaskClient, connector: dict[str, str]) -> None:
    body = {"region": "in002", "provider": "plivo"}
    answer = client.patch(f"/v2/connectors/{connector['id']}", json=body).json
    assert answer["data"] == {**connector, "region": "in002"}
    assert answer["warnings"] == ["Field provider is not known and was ignored."]


@pytest.mark.parametrize(
    "options",
    [{}, {"data": b""}, {"json": {}}, {"data": b"\xff{not json", "content_type": "text/plain"}],
)
def test_rotate_changes_only_the_url(
    client: FlaskClient, connector: dict[str, str], options: dict[str, object]
) -> None:
    response = client.post(f"/v2/connectors/{connector['id']}/rotate-key", **options)
    assert response.status_code == 200
    rotated = response.json["data"]
    assert rotated["webhookUrl"] != connector["webhookUrl"]
    assert re.fullmatch(
        r"https://voice\.example\.com/v2/hooks/twilio/whk_[A-Za-z0-9]{32}", rotated["webhookUrl"]
    )
    assert response.data == orjson.dumps(
        {
            "message": "Webhook key rotated successfully",
            "data": {**connector, "webhookUrl": rotated["webhookUrl"]},
        }
    )
    assert client.get(f"/v2/connectors/{connector['id']}").json["data"] == rotated


def test_delete_answers_200_without_data_and_then_404(
    client: FlaskClient, connector: dict[str, str]
) -> None:
    response = client.delete(f"/v2/connectors/{connector['id']}")
    assert response.status_code == 200
    assert response.data == b'{"message":"Connector deleted successfully"}'
    assert client.delete(f"/v2/connectors/{connector['id']}").status_code == 404
    assert client.get("/v2/connectors").json["data"] == []


@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-key")]
)
def test_an_unknown_connector_is_404(client: FlaskClient, method: str, suffix: str) -> None:
    response = client.open(
        f"/v2/connectors/cn_0000000000000000{suffix}", method=method, json={"name": "n"}
    )
    assert response.status_code == 404
    assert response.json == {"message": "Connector not found", "statusCode": 404}


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({"HTTP_HOST": "voice.test:8000"}, "http://voice.test:8000"),
        ({"HTTP_HOST": "voice.test", "wsgi.url_scheme": "https"}, "https://voice.test"),
        ({"HTTP_HOST": "xn--bcher-kva.test"}, "http://xn--bcher-kva.test"),
        ({"HTTP_HOST": "voice.test", "SCRIPT_NAME": "/calls"}, "http://voice.test/calls"),
    ],
)
def test_webhook_url_without_public_url_has_the_requested_host(
    app_without_public_url: Flask,
    authorised: Callable[..., FlaskClient],
    environ: dict[str, str],
    base: str,
) -> None:
    client = authorised(app_without_public_url)
    response = client.post("/v2/connectors", json={"provider": "plivo"}, environ_overrides=environ)
    assert response.json["data"]["webhookUrl"].startswith(f"{base}/v2/hooks/plivo/whk_")


@pytest.mark.parametrize("host", ["", "a/b", "a b"])
def test_invalid_host_without_public_url_is_400(
    app_without_public_url: Flask, authorised: Callable[..., FlaskClient], host: str
) -> None:
    client = authorised(app_without_public_url)
    response = client.post(
        "/v2/connectors", json={"provider": "plivo"}, environ_overrides={"HTTP_HOST": host}
    )
    assert response.status_code == 400
    assert response.json == {
        "message": "Host header must name the host this request was sent to.",
        "statusCode": 400,
    }
