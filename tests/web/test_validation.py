"""Validation of request bodies, queries and path ids at every endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bodies import Broken
from tests.support.fuzzing import fuzz

FORM = "application/x-www-form-urlencoded"
UNKNOWN_CONNECTOR = "/v2/connectors/cn_0000000000000000"

CREATE = ("POST", "/v2/connectors")
WITH_BODY = [
    CREATE,
    ("PATCH", UNKNOWN_CONNECTOR),
    ("POST", "/v2/ingest/sessions"),
    ("POST", "/v2/sip/call/end"),
]

NOT_JSON: list[bytes] = [
    b"{",
    b"{]",
    b"nonsense",
    b"{'provider': 'twilio'}",
    b'{"provider":"twilio"} trailing',
    b'{"name":"\xff"}',
    b'{"name":"\\ud800"}',
    b'{"name":NaN}',
    b'{"name":1e999}',
    b'{"name":1' + b"0" * 400 + b"}",
    b"[" * 2_000 + b"]" * 2_000,
    b'{"name":' * 2_000 + b"1" + b"}" * 2_000,
    b"\x00",
]

NOT_AN_OBJECT = [b"null", b"true", b"7", b'"text"', b"[]", b'[{"provider":"twilio"}]']

OTHER_TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "application/json,application/json",
    "nonsense",
]


def everywhere(values: list[Any]) -> list[tuple[str, str, Any]]:
    """Each value at one endpoint and one of them at every other: one decorator reads them all."""
    others = [(method, path, values[0]) for method, path in WITH_BODY if (method, path) != CREATE]
    return [*((*CREATE, value) for value in values), *others]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    (
        *("provider", "name", "defaultRoomId", "defaultRuleId", "region"),
        *("roomId", "participant", "agent", "callId", "id", "metadata"),
    )
)
bodies = st.dictionaries(
    field_names,
    json_values | st.dictionaries(field_names, json_values) | st.sampled_from(["twilio", "r1"]),
)


@pytest.mark.parametrize(
    ("method", "path", "raw"), everywhere(NOT_JSON), ids=lambda value: repr(value[:20])
)
def test_a_body_that_is_not_json_is_400(
    client: FlaskClient, method: str, path: str, raw: bytes
) -> None:
    response = client.open(path, method=method, data=raw, content_type="application/json")
    assert response.status_code == 400
    assert response.json["statusCode"] == 400
    assert response.json["message"].startswith("Request body is not valid JSON: ")


@pytest.mark.parametrize(("method", "path", "raw"), everywhere(NOT_AN_OBJECT))
def test_a_body_that_is_not_an_object_is_400(
    client: FlaskClient, method: str, path: str, raw: bytes
) -> None:
    response = client.open(path, method=method, data=raw, content_type="application/json")
    assert response.status_code == 400
    assert response.json["message"] == "Request body must be a JSON object."


@pytest.mark.parametrize(("method", "path", "content_type"), everywhere(OTHER_TYPES))
def test_a_body_declared_as_something_else_is_415(
    client: FlaskClient, method: str, path: str, content_type: str
) -> None:
    response = client.open(path, method=method, data=b"{}", content_type=content_type)
    assert response.status_code == 415
    assert response.json == {"message": "Content-Type must be application/json.", "statusCode": 415}


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"],
)
def test_json_is_read_whether_declared_or_not(
    client: FlaskClient, content_type: str | None
) -> None:
    response = client.post(
        "/v2/connectors", data=b'{"provider":"twilio"}', content_type=content_type
    )
    assert response.status_code == 201


@pytest.mark.parametrize("raw", [b"", b" \r\n\t"])
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_an_empty_body_counts_as_an_empty_object(
    client: FlaskClient, raw: bytes, content_type: str | None
) -> None:
    response = client.post("/v2/ingest/sessions", data=raw, content_type=content_type)
    assert (response.status_code, response.json["message"]) == (400, "roomId is required.")


def test_last_of_two_equal_names_counts(client: FlaskClient) -> None:
    raw = b'{"provider":"plivo","provider":"twilio"}'
    assert client.post("/v2/connectors", data=raw).json["data"]["provider"] == "twilio"


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("declares_length", [True, False])
def test_a_body_beyond_64_kb_is_400(
    client: FlaskClient, method: str, path: str, declares_length: bool
) -> None:
    raw = b'{"provider":"twilio","name":"n"}' + b" " * 64 * 1024
    # Without a length the body came in chunks, and the server says where it ends.
    environ: dict[str, Any] = (
        {}
        if declares_length
        else {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    )
    response = client.open(path, method=method, data=raw, environ_overrides=environ)
    assert response.status_code == 400
    assert response.json == {"message": "Request body is larger than 64 KB.", "statusCode": 400}


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_that_breaks_off_is_400(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(
        path,
        method=method,
        content_type="application/json",
        environ_overrides={
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input": Broken(),
            "wsgi.input_terminated": True,
        },
    )
    assert response.status_code == 400
    assert response.json["message"] == "Request body cannot be read to its end."


def test_a_body_of_just_64_kb_is_read(client: FlaskClient) -> None:
    raw = b'{"provider":"twilio"}'.ljust(64 * 1024)
    assert client.post("/v2/connectors", data=raw).status_code == 201


def test_unknown_fields_are_named_with_their_path_and_truncated(client: FlaskClient) -> None:
    body = {"roomId": "r", "participant": {"id": "p", "avatar": "a"}, "x" * 100: 1}
    assert client.post("/v2/ingest/sessions", json=body).json["warnings"] == [
        "Field participant.avatar is not known and was ignored.",
        f"Field {'x' * 64} is not known and was ignored.",
    ]


def test_members_of_metadata_are_never_unknown(client: FlaskClient) -> None:
    body = {"roomId": "r", "participant": {"metadata": {"anything": {"goes": 1}}}}
    assert "warnings" not in client.post("/v2/ingest/sessions", json=body).json


def test_unknown_filter_is_named(client: FlaskClient) -> None:
    assert client.get("/v2/sip/call?colour=red").json["warnings"] == [
        "Query parameter colour is not known and was ignored."
    ]


@pytest.mark.parametrize("path_id", ["%00", "a%00b", "%0a", "%ff", "x" * 129, "a%20b", "a%2Fb"])
@pytest.mark.parametrize("path", ["/v2/connectors", "/v2/sip/call"])
def test_impossible_path_id_is_404_on_each_database(
    app_on_each_database: Flask, authorised: Callable[..., FlaskClient], path: str, path_id: str
) -> None:
    response = authorised(app_on_each_database).get(f"{path}/{path_id}")
    assert response.status_code == 404
    assert response.json == {"message": "There is nothing at this address.", "statusCode": 404}


@fuzz(8)
@given(body=bodies)
@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_no_json_object_causes_a_500(
    app_on_each_database: Flask,
    authorised: Callable[..., FlaskClient],
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    response = authorised(app_on_each_database).open(path, method=method, json=body)
    assert response.status_code in (200, 201, 400, 404, 503)
    if response.status_code == 400:
        assert response.json["message"].endswith((".", "No editable fields provided"))


@fuzz(8)
@given(raw=st.binary(max_size=64))
@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_no_bytes_cause_a_500(client: FlaskClient, method: str, path: str, raw: bytes) -> None:
    response = client.open(path, method=method, data=raw)
    assert response.status_code in (400, 404)
    assert isinstance(response.json["message"], str)
